"""DreamBench's subjects and prompts."""

from __future__ import annotations

from collections import Counter

from mmdiff_core.evaluation.dreambench.prompts import CLASSES, LIVE, pair_prompts, prompts_of


def test_thirty_subjects_with_twenty_five_prompts() -> None:
    assert len(CLASSES) == 30
    assert Counter(class_name in LIVE for class_name in CLASSES.values()) == {True: 9, False: 21}
    for class_name, live in (("dog", True), ("teapot", False)):
        prompts = prompts_of(class_name, live)
        assert len(set(prompts)) == 25
        assert all(class_name in prompt for prompt in prompts)
    assert prompts_of("dog", True)[:10] == tuple(p.replace("teapot", "dog") for p in prompts_of("teapot", False)[:10])
    assert prompts_of("dog", True)[20:] == (
        "a red dog",
        "a purple dog",
        "a shiny dog",
        "a wet dog",
        "a cube shaped dog",
    )
    assert "a dog in a chef outfit" in prompts_of("dog", True)
    assert "a teapot floating in an ocean of milk" in prompts_of("teapot", False)
    assert pair_prompts("cat", "teapot")[0] == "a cat and a teapot in the jungle"
