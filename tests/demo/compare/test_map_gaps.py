"""Why there is no map, for every part that can be left out: on a tiny model, whose maps are real."""

from __future__ import annotations

import pytest
from PIL import Image

from demo.compare.map_gaps import map_gaps
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.types import Components, GenerateRequest, Subject
from tests.helpers import tiny

CAT, ROBOT = (Subject(name, (Image.linear_gradient("L").convert("RGB"),)) for name in ("cat", "robot"))
EVERY_KIND = ("text", "image", "influence")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Personalizer:
    return Personalizer.load(tiny.save_toybox(tmp_path_factory.mktemp("toybox")))


def _gaps(model: Personalizer, *subjects: Subject, start_step: int = 0, **off: bool) -> dict[str, str]:
    prompt = "a cat next to a robot"
    request = GenerateRequest(prompt, subjects, steps=2, start_step=start_step, components=Components(**off))
    *_, last = model.generate(request)
    return dict(map_gaps(last.finished))


def test_a_map_that_there_is_needs_no_reason(model: Personalizer) -> None:
    assert "gap_no_photos" not in _gaps(model, CAT, ROBOT).values()


def test_each_part_that_is_left_out_is_the_reason(model: Personalizer) -> None:
    assert _gaps(model) == dict.fromkeys(EVERY_KIND, "gap_no_photos")
    off = {"vision_text": False, "image_branch": False}
    assert _gaps(model, CAT, ROBOT, **off) == dict.fromkeys(EVERY_KIND, "gap_photos_off")
    without = _gaps(model, CAT, ROBOT, image_branch=False)
    assert [without[kind] for kind in EVERY_KIND[1:]] == ["gap_image_branch"] * 2
    late = _gaps(model, CAT, ROBOT, start_step=2)
    assert [late[kind] for kind in EVERY_KIND[1:]] == ["gap_late"] * 2
    assert _gaps(model, CAT, null_token=False)["image"] == "gap_alone"
