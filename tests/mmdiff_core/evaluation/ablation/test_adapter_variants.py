"""The variants: what each changes, and which are chosen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mmdiff_core.errors import SettingsError
from mmdiff_core.evaluation.ablation.adapter_variants import FULL, VARIANTS, choose_variants
from mmdiff_core.training.toybox.recipes import LossWeights
from tests.helpers import tiny


def test_variants_differ_in_what_they_say() -> None:
    like = tiny.adapter_for(tiny.stable_diffusion()).config
    whole = VARIANTS[FULL].configure(like)
    assert VARIANTS["no-refiner"].configure(like) == replace(whole, refiner_depth=0)
    assert VARIANTS["tokens-16"].configure(like).tokens == 16
    assert VARIANTS["rank-64"].configure(like).rank == 64
    assert VARIANTS["fastcomposer"].configure(like).fuse_after
    assert VARIANTS["no-image-branch"].map_kind == "text"
    assert [variant.name for variant in choose_variants(["rank-4"])] == [FULL, "rank-4"]
    with pytest.raises(SettingsError, match=r"no variant rank-5.*rank-4"):
        choose_variants(["rank-5"])


def test_loss_weights_are_changed_one_by_one() -> None:
    losses = LossWeights()
    assert VARIANTS[FULL].weigh(losses) == losses
    assert VARIANTS["text-constraint"].weigh(losses) == replace(losses, image_constraint=0.0)
    assert VARIANTS["constraints-0.3"].weigh(losses) == replace(losses, text_constraint=0.3, image_constraint=0.3)


def test_all_are_chosen_without_names_and_the_whole_method_always_comes_first() -> None:
    assert choose_variants([]) == tuple(VARIANTS.values())
    assert choose_variants(["rank-64", "no-refiner"])[0].name == FULL
    assert [variant.name for variant in choose_variants(["rank-64", "no-refiner"])] == [FULL, "no-refiner", "rank-64"]


def test_the_report_has_the_keys_of_earlier_versions() -> None:
    values = VARIANTS["ip-adapter-plus"].to_json()
    assert values.keys() == {"name", "group", "title", "config", "losses", "layers", "kind"}
    assert (values["kind"], values["group"]) == ("ip-adapter-plus", "baseline")


def test_names_titles_and_groups() -> None:
    assert list(VARIANTS) == [variant.name for variant in VARIANTS.values()]
    assert len({variant.title for variant in VARIANTS.values()}) == len(VARIANTS)
    components = [variant for variant in VARIANTS.values() if variant.group == "component"]
    assert all(variant.title.startswith("no ") for variant in components)
