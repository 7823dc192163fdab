"""What the evaluators see and how it is compared, against values worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPModel

from mmdiff_core.encoders.image import CLIP_MEAN, CLIP_STD
from mmdiff_core.errors import ModelError
from mmdiff_core.evaluation.dreambench.similarity import DINO_MEAN, DINO_STD, Evaluators, mean_cosine, preprocess
from tests.helpers import tiny
from tests.helpers.evaluators import save_evaluators
from tests.helpers.faces import BLUE, GREEN, RED, Squares, group, identity


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return save_evaluators(tmp_path_factory.mktemp("evaluators"))


@pytest.fixture(scope="module")
def evaluators(folders: tuple[Path, Path]) -> Evaluators:
    return Evaluators.load(*folders)


def test_the_mean_of_all_pairs() -> None:
    """Vectors at 0 and 90 degrees with one at 60: cosines 1/2 and sqrt(3)/2; lengths do not count."""
    a = torch.tensor([[3.0, 0.0], [0.0, 0.2]])
    b = torch.tensor([[0.5, math.sqrt(3) / 2]])
    assert mean_cosine(a, b) == pytest.approx((0.5 + math.sqrt(3) / 2) / 2)
    assert mean_cosine(a, torch.cat([b, -b])) == pytest.approx(0)


def test_pictures_are_cropped_in_the_middle_and_normalised() -> None:
    image = Image.new("RGB", (120, 40), (255, 0, 0))
    image.paste((0, 0, 255), (40, 0, 80, 40))  # the middle third is blue
    (pixels,) = preprocess([image], 20, 1.0, CLIP_MEAN, CLIP_STD)
    assert pixels.shape == (3, 20, 20)
    blue = [(value - mean) / std for value, mean, std in zip((0, 0, 1), CLIP_MEAN, CLIP_STD, strict=True)]
    assert pixels[:, 10, 10].tolist() == pytest.approx(blue)
    (wider,) = preprocess([image], 20, 1.5, DINO_MEAN, DINO_STD)  # 30 pixels high, of which the middle 20 are seen
    assert wider.shape == (3, 20, 20)
    assert wider[2].min() == pytest.approx((1 - DINO_MEAN[2]) / DINO_STD[2])


def test_embeddings_are_those_of_the_whole_clip(evaluators: Evaluators, folders: tuple[Path, Path]) -> None:
    clip = CLIPModel.from_pretrained(folders[0]).eval()
    images = [tiny.photo(1), tiny.photo(2, (50, 70))]
    tokens = evaluators.tokenizer(["a cat on the beach"], return_tensors="pt")
    with torch.no_grad():
        out = clip(**tokens, pixel_values=preprocess(images, 32, 1.0, CLIP_MEAN, CLIP_STD))
    for ours, theirs in (
        (evaluators.clip_images(images), out.image_embeds),
        (evaluators.clip_text("a cat on the beach"), out.text_embeds),
    ):
        torch.testing.assert_close(torch.nn.functional.normalize(ours, dim=-1), theirs)
    assert evaluators.dino_images(images).shape == (2, 32)
    torch.testing.assert_close(evaluators.dino_images(images)[1:], evaluators.dino_images(images[1:]))


def test_faces_are_compared_with_the_nearest_of_the_picture(evaluators: Evaluators) -> None:
    looking = replace(evaluators, faces=Squares())
    own = looking.face_embeddings([group(RED), group(), group(RED, BLUE, sizes=(6, 10))])  # red, none, the larger blue
    assert own is not None
    assert own.tolist() == [pytest.approx(identity(RED)), pytest.approx(identity(BLUE))]
    cosine = float(np.dot(identity(RED), identity(BLUE)))
    assert looking.face_similarity(group(GREEN, BLUE), own) == pytest.approx((1 + cosine) / 2, abs=1e-6)
    assert looking.face_similarity(group(), own) is None
    assert looking.face_embeddings([group()]) is None
    assert evaluators.face_embeddings([group(RED)]) is None  # nobody looks


def test_what_is_missing_is_said(folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"models --download openai/clip-vit-base-patch32\" \(about 610 MB\)"):
        Evaluators.load()
    with pytest.raises(ModelError, match=r"facebook/dino-vits16\" \(about 90 MB\)"):
        Evaluators.load(folders[0])
    (tmp_path / "dino").mkdir()
    (tmp_path / "dino" / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="which measures the images, is incomplete: the weights in the folder"):
        Evaluators.load(folders[0], tmp_path / "dino")
