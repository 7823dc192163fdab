"""What the documentation says about training on your own images, followed with tiny models."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mmdiff_core.cli.main import main
from mmdiff_core.weights.hub import ANNOTATORS
from tests.helpers import tiny, tiny_annotators
from tests.helpers.documents import commands, of_program, section
from tests.helpers.paths import DOCS

BASE = "stable-diffusion-v1-5/stable-diffusion-v1-5"
# What makes a command small enough for a test; the flags before stay as they are written.
SMALL = {
    "annotate": ["--smallest", "32", "--device", "cpu"],
    "train": ["--device", "cpu", "--steps", "1", "--batch", "1", "--precision", "no"],
    "generate": ["--steps", "2", "--device", "cpu"],
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder in which every name of the hub is a folder."""
    tiny.save_model("sd", tmp_path / BASE)
    makers = (tiny_annotators.blip, tiny_annotators.grounding_dino, tiny_annotators.sam)
    for make, model in zip(makers, ANNOTATORS, strict=True):
        make(tmp_path / model.name)
    (tmp_path / "pictures" / "rex").mkdir(parents=True)
    for name in ("pictures/rex/1.jpg", "cat.png", "dog.png"):
        tiny.photo(1, (48, 40)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_line_by_line(place: Path) -> None:
    lines = commands(section(DOCS / "training.md", "## An adapter on your own images"))
    told = [words for line in lines if (words := of_program(line)) is not None]
    assert [line[0] for line in told] == ["models", "models", "models", "annotate", "train", "generate", "pack"]
    assert [line[-1] for line in told[:3]] == [model.name for model in ANNOTATORS]
    for words in told[3:]:
        assert main([*words, *SMALL.get(words[0], [])]) == 0
        if words[0] == "annotate":  # random models find nothing to train on
            assert (place / "annotated" / "report.md").is_file()
            shutil.rmtree("annotated")
            assert main(["annotate", "--toys", "3", "--size", "48", "--out", "annotated/"]) == 0
    assert len(list((place / "out").glob("*.png"))) > 1
    for number, data in enumerate((["--data", "shards/"], ["--data", "shards/{00000..00000}.tar"])):
        flags = ["--recipe", "sd15-general", "--base", BASE, *data, "--validation", "annotated/"]
        assert main(["train", "sd", *flags, "--out", f"runs/{number}", *SMALL["train"]]) == 0
