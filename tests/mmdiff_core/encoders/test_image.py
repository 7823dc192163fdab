"""The image encoder's one forward."""

from __future__ import annotations

import torch

from mmdiff_core.encoders.image import CLIP_MEAN, CLIP_STD, ImageEncoder
from mmdiff_core.encoders.photo import prepare_photo
from mmdiff_core.generation.subject_embedding import encode_photos, encode_pixels
from mmdiff_core.types import Subject
from tests.helpers import tiny


def _encoder(keep_cls: bool = False) -> ImageEncoder:
    torch.manual_seed(0)
    return ImageEncoder(tiny.image_encoder().eval(), keep_cls=keep_cls)


@torch.no_grad()
def test_cls_and_patches_of_the_model_itself() -> None:
    pixels = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    encoder = _encoder()
    cls, patches = encoder.encode(pixels)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    stock = encoder.model((pixels - mean) / std, output_hidden_states=True)
    assert torch.equal(cls, stock.image_embeds)
    assert torch.equal(patches, stock.hidden_states[-2][:, 1:])
    assert torch.equal(_encoder(keep_cls=True).encode(pixels)[1], stock.hidden_states[-2])


@torch.no_grad()
def test_photos_of_a_request_are_padded() -> None:
    encoder = _encoder()
    features = encode_photos(encoder, tiny.cat_and_robot())
    assert features.cls.shape == (1, 2, 2, tiny.PROJECTION)
    assert features.patches.shape == (1, 2, 2, 16, tiny.PATCH_WIDTH)
    assert features.present.tolist() == [[[True, True], [True, False]]]
    assert (features.cls[0, 1, 1] == 0).all()
    alone = encoder.encode(prepare_photo(tiny.photo(3), 32)[None])
    assert torch.allclose(features.cls[0, 1, 0], alone[0][0], atol=1e-6)
    assert torch.allclose(features.patches[0, 1, 0], alone[1][0], atol=1e-6)


def test_gradients_pass_through_a_batch() -> None:
    encoder = _encoder()
    pixels = torch.rand(2, 1, 3, 3, 32, 32, requires_grad=True)
    present = torch.tensor([[[True, False, True]], [[True, True, False]]])
    encode_pixels(encoder, pixels, present).cls.sum().backward()
    seen = pixels.grad.flatten(3).abs().sum(-1) > 0
    assert torch.equal(seen, present)


def test_one_photo_of_one_subject() -> None:
    features = encode_photos(_encoder(), (Subject("cat", (tiny.photo(0),)),))
    assert features.present.tolist() == [[[True]]]
