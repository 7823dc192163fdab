"""The lower bound: the base model, from the words alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from mmdiff_core.evaluation.toybox.base_model import base_images
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.types import Components, GenerateRequest
from tests.helpers import tiny


def test_base_model_without_photos_is_exactly_the_stock_network(model: Path) -> None:
    personalizer = Personalizer.load(model)
    prompt, subjects = "a cat next to a robot in the snow", tiny.cat_and_robot()
    request = GenerateRequest(prompt, subjects, seeds=(3, 4), steps=3)
    found = list(base_images(personalizer, request))
    *_, last = personalizer.generate(replace(request, components=Components(vision_text=False, image_branch=False)))
    assert last.result is not None
    for picture, expected in zip(found, last.result, strict=True):
        # The attention is computed by other kernels where it is recorded, so that a pixel may round the other way.
        assert np.abs(np.int16(picture.image) - np.int16(expected.image)).max() <= 1
        assert picture.maps is not None
        assert picture.maps.kinds == ("text",)
        assert picture.maps.steps == (0, 1, 2)
        assert float(np.ptp(picture.maps.at("robot", "text"))) > 0
