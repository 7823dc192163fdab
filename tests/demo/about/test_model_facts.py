from __future__ import annotations

from dataclasses import replace

from PIL import Image

from demo.about.model_facts import run_facts, weight_facts
from demo.about.tab import AboutTab
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD, WHOLE_WORLD
from mmdiff_core.types import GenerateRequest, Size, Subject
from tests.helpers.stand_in import StandIn


def _picture(model: StandIn, **more: object):
    photo = Image.new("RGB", (8, 8))
    subjects = (Subject("cat", (photo, photo)), Subject("robot", (photo,)))
    *_, last = model.generate(GenerateRequest("a cat and a robot", subjects, seeds=(5,), **more))
    return last.finished


def test_before_the_first_picture_one_subject_stands_for_all() -> None:
    told = run_facts(StandIn().summary(), None, start=1, steps=6)
    assert told["when"] == ["idle"]
    assert told["facts"]["photos"] == "1 × 3 × 64 × 64"
    assert told["facts"]["tokens"] == "4 × 48"


def test_an_adapter_without_loras_has_no_rank() -> None:
    summary = StandIn().summary()
    assert run_facts(summary, None, 1, 6)["facts"]["rank"] == "8"
    without = replace(summary, adapter=replace(summary.adapter, rank=0))
    assert run_facts(without, None, 1, 6)["facts"]["rank"] == "–"


def test_shapes_are_those_of_the_picture() -> None:
    model = StandIn()
    picture = _picture(model, steps=3, start_step=0, width=192, height=128)
    told = run_facts(model.summary(picture.image.size), picture, start=1, steps=6)
    facts = told["facts"]
    assert told["when"] == ["run"]
    assert (facts["photos"], facts["cls"], facts["patches"]) == ("2 + 1 = 3 × 3 × 64 × 64", "3 × 24", "3 × 16 × 32")
    assert (facts["tokens"], facts["word"], facts["latents"]) == ("12 × 48", "2 × 48", "4 × 16 × 24")
    assert (facts["steps"], facts["seed"], facts["picture"]) == ("3", "5", "192 × 128 × 3")
    assert facts["maps"] == "3 × 1 × 3 × 2"
    assert told["rows"]["layers"] == [["1 × (16 × 24)", "2 × 384 × 20", "2 × 384 × 13"]]  # 12 tokens and the null one


def test_maps_that_a_delay_left_out_are_not_counted() -> None:
    model = StandIn()
    picture = _picture(model, steps=3, start_step=1)
    assert run_facts(model.summary(), picture, 1, 6)["facts"]["maps"] == "3 × 1 × 3 × 2 → 14"


def test_what_is_not_known_is_said() -> None:
    told = weight_facts("toybox", StandIn().summary(), Size((96, 96), 96, 96, 16), FIRST_WORLD)
    assert "cat" in told["facts"]["kinds"]
    assert "owl" in told["facts"]["no_kinds"]
    assert "fixed" in told["when"]
    assert told["facts"]["parameters"] == "unet 3.0\N{NO-BREAK SPACE}M + adapter 0.5\N{NO-BREAK SPACE}M"
    whole = weight_facts("toybox", StandIn().summary(), StandIn().sizes, WHOLE_WORLD)
    assert whole["when"] == ["toys"]  # nothing is lacking, and the size is free


def test_other_models_know_the_wide_world() -> None:
    told = AboutTab(StandIn(), None).page_facts(None)  # type: ignore[arg-type]
    assert {"idle", "toys"} <= set(told["when"])
    assert weight_facts("sd", StandIn().summary(), StandIn().sizes, None)["when"] == ["world"]
