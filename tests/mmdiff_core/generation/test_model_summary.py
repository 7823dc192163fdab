"""The sizes that the page shows are those that tensors really have."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmdiff_core.generation.subject_embedding import encode_photos
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.types import GenerateRequest, Subject
from tests.helpers import tiny


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def personalizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Personalizer:
    folder: Path = tiny.save_model(request.param, tmp_path_factory.mktemp(request.param))
    return Personalizer.load(folder, folder / "adapter.safetensors")


def test_they_are_those_of_the_tensors(personalizer: Personalizer) -> None:
    summary, backbone = personalizer.summary((40, 32)), personalizer.backbone
    assert summary.latents == tuple(backbone.noise(0, 40, 32).shape[1:])
    assert summary.text_width == personalizer.adapter.config.width
    with torch.no_grad():
        features = encode_photos(backbone.image_encoder, [Subject("cat", (tiny.photo(0),))])
    assert features.cls.shape[-1] == summary.cls_width
    assert features.patches.shape[-2:] == (summary.patches, summary.patch_width)


def test_layers_are_those_whose_maps_are_recorded(personalizer: Personalizer) -> None:
    request = GenerateRequest("a cat", (Subject("cat", (tiny.photo(0),)),), steps=1, width=40, height=32)
    *_, last = personalizer.generate(request)
    summary = personalizer.summary(last.finished.image.size)
    sizes = sorted(last.finished.maps.layers.values())
    assert sizes == sorted(group.size for group in summary.groups for _ in range(group.layers))


def test_a_stock_model_has_no_adapter(personalizer: Personalizer) -> None:
    summary = Personalizer(personalizer.backbone).summary()
    assert summary.adapter is None
    assert summary.parameters["adapter"] == 0
    assert summary.parameters["unet"] > 0
