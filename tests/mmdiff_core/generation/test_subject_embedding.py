"""From photos to subject embeddings: how photos are padded, weighed, and left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mmdiff_core.generation.subject_embedding import embed_subjects, encode_photos, encode_pixels, with_token_weights
from mmdiff_core.nn.records import SubjectEmbeddings
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.types import GenerateRequest
from tests.helpers import tiny

CAT, ROBOT = tiny.cat_and_robot()


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def personalizer(request: pytest.FixtureRequest) -> Personalizer:
    folder: Path = request.getfixturevalue(request.param)
    return Personalizer.load(folder, folder / "adapter.safetensors")


def test_photos_are_padded_to_the_most_of_a_subject(personalizer: Personalizer) -> None:
    encoder = personalizer.backbone.image_encoder
    features = encode_photos(encoder, (CAT, ROBOT))
    assert features.present.tolist() == [[[True, True], [True, False]]]
    assert not features.cls[0, 1, 1].any()
    assert not features.patches[0, 1, 1].any()
    alone = encode_photos(encoder, (ROBOT,))
    assert torch.equal(features.cls[0, 1, 0], alone.cls[0, 0, 0])
    assert torch.equal(features.patches[0, 1, 0], alone.patches[0, 0, 0])


def test_padding_of_a_batch_is_not_encoded(personalizer: Personalizer) -> None:
    encoder = personalizer.backbone.image_encoder
    pixels = torch.rand(2, 1, 2, 3, encoder.size, encoder.size, generator=torch.Generator().manual_seed(0))
    pixels[1, 0, 1] = float("nan")
    present = torch.tensor([[[True, True]], [[True, False]]])
    features = encode_pixels(encoder, pixels, present)
    assert features.cls.isfinite().all()
    assert features.cls.any(-1).tolist() == features.patches.flatten(3).any(-1).tolist() == present.tolist()
    assert torch.allclose(features.cls[1, 0, 0], encoder.encode(pixels[1:, 0, 0])[0][0], atol=1e-5)


def test_weights_of_tokens_are_set_where_there_are_tokens() -> None:
    subjects = SubjectEmbeddings((), torch.zeros(1, 4, 8), torch.zeros(4).long(), torch.ones(1, 4).bool())
    weights = torch.tensor([[1.0, 1.0, 0.5, 0.5]])
    assert torch.equal(with_token_weights(subjects, weights).weights, weights)
    assert with_token_weights(subjects, None) is subjects
    without = replace(subjects, tokens=torch.zeros(1, 0, 8))
    assert with_token_weights(without, weights) is without


def test_without_subjects_nothing_is_embedded(personalizer: Personalizer) -> None:
    plan = personalizer.plan(GenerateRequest("a beach"))
    assert embed_subjects(plan, personalizer.backbone, personalizer.adapter) is None
    assert (
        embed_subjects(
            personalizer.plan(GenerateRequest("a cat next to a robot", (CAT, ROBOT))), personalizer.backbone, None
        )
        is None
    )
