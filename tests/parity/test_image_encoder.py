"""The image encoder's two outputs, and the photos that it is given, are the recorded ones."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from mmdiff_core.encoders.image import ImageEncoder
from mmdiff_core.encoders.photo import prepare_photo
from tests.parity.recordings import assert_same, below, configs, tensors


def _encoder(weights: dict[str, Tensor]) -> ImageEncoder:
    config = configs()["clip"]
    vision = CLIPVisionConfig(**config["vision_config"] | {"projection_dim": config["projection_dim"]})
    model = CLIPVisionModelWithProjection(vision).eval()
    model.load_state_dict({key: x for key, x in weights.items() if "position_ids" not in key})
    return ImageEncoder(model, keep_cls=True)


@pytest.mark.parametrize("case", ["n2_native32", "n1_50x40_interpolated", "n3_20x20_upsampled"])
def test_projected_cls(case: str) -> None:
    """The object path: the checkpoint's own image encoder, any size of photo."""
    recorded = below(tensors("image_encoder"), f"object/{case}/")
    checkpoint = tensors("ckpt_A")
    weights = below(checkpoint, "custom/image_encoder/")
    with torch.no_grad():
        cls, _ = _encoder(weights).encode(recorded["inputs/object_pixel_values"][0])
    assert_same(cls[None], recorded["outputs/image_embeds"])


def test_penultimate_patches() -> None:
    """The face path: the original CLIP's tokens before the last layer, with the CLS."""
    recorded = below(tensors("image_encoder"), "face_patches/n2/")
    encoder = _encoder(below(tensors("base_A"), "clip/"))
    pixels = recorded["inputs/face_pixel_values"] * encoder.std + encoder.mean  # recorded as already normalised
    with torch.no_grad():
        _, patches = encoder.encode(pixels)
    assert_same(patches, recorded["outputs/clip_face_embeds"])
    encoder.keep_cls = False
    with torch.no_grad():
        assert_same(encoder.encode(pixels)[1], recorded["outputs/clip_face_embeds"][:, 1:])


def test_photo_on_a_square() -> None:
    """Pad to a square, then resize; both sides round to bytes, so they may differ by one of 255."""
    recorded = below(tensors("preprocess"), "object_transforms/150x100/")
    photo = Image.fromarray(recorded["inputs/image_uint8"].byte().permute(1, 2, 0).numpy())
    expected = recorded["outputs/object_pixel_values_times_255_uint8"].float() / 255
    assert (prepare_photo(photo, 224) - expected).abs().max() <= 1.01 / 255


def test_odd_difference_keeps_the_square() -> None:
    """The official padding is one pixel short there (150 x 151); ours is square and the whole photo stays."""
    recorded = below(tensors("preprocess"), "object_transforms/100x151_odd/")
    photo = Image.fromarray(recorded["inputs/image_uint8"].byte().permute(1, 2, 0).numpy())
    ours = prepare_photo(photo, 151)
    rows = ours.amax(dim=(0, 2)) > 0
    assert ours.shape == (3, 151, 151)
    assert rows.sum() == 100
    expected = recorded["outputs/object_pixel_values_times_255_uint8"].float() / 255
    assert (prepare_photo(photo, 224) - expected).abs().mean() < 0.03
