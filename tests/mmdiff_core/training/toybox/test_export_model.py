"""Exporting: a stock folder in half precision, which takes the place of nothing but a model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file

from mmdiff_core.errors import ModelError, SettingsError
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.toyworld.scenes.vocabulary import load_vocabulary
from mmdiff_core.training.toybox.export_model import export_model
from mmdiff_core.types import GenerateRequest, Subject
from tests.helpers import tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_toybox(tmp_path_factory.mktemp("trained") / "model")


@pytest.fixture(scope="module")
def shipped(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shipped") / "toybox"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmdiff_core.training.toybox.export_model.LARGEST_FILE", "100KB")
        size = export_model(model, folder)
    assert size == sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return folder


def test_every_weight_is_in_half_precision(shipped: Path) -> None:
    for file in shipped.rglob("*.safetensors"):
        assert {tensor.dtype for tensor in load_file(file).values() if tensor.is_floating_point()} == {torch.float16}


def test_every_file_can_be_read_by_others(shipped: Path) -> None:
    for file in shipped.rglob("*"):
        assert file.stat().st_mode & 0o044 == 0o044, file


def test_the_unet_is_in_shards_and_no_path_is_in_the_files(shipped: Path, model: Path) -> None:
    assert len(list((shipped / "unet").glob("*.safetensors"))) > 1
    texts = "".join(path.read_text() for path in shipped.rglob("*.json"))
    assert str(model.parent) not in texts
    assert load_vocabulary(model) == load_vocabulary(shipped)


def test_a_stock_pipeline_opens_it(shipped: Path) -> None:
    stock = StableDiffusionPipeline.from_pretrained(shipped, local_files_only=True)
    stock.set_progress_bar_config(disable=True)
    assert stock("a cat on the beach", num_inference_steps=2).images[0].size == (32, 32)


def test_it_generates_images_of_subjects(shipped: Path) -> None:
    request = GenerateRequest("a cat in the snow", (Subject("cat", (tiny.photo(1), tiny.photo(2))),), steps=2)
    *_, last = Personalizer.load(shipped).generate(request)
    assert last.result is not None
    assert last.result[0].image.size == (32, 32)


def test_an_older_model_is_replaced(model: Path, shipped: Path) -> None:
    (shipped / "notes.txt").write_text("of the older one")
    export_model(model, shipped)
    assert not (shipped / "notes.txt").exists()


def test_nothing_but_a_model_is_replaced(model: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for folder in (tmp_path, model.parent):
        before = sorted(folder.rglob("*"))
        with pytest.raises(SettingsError, match="choose"):
            export_model(model, folder)
        assert sorted(folder.rglob("*")) == before


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        export_model(tmp_path / "none", tmp_path / "out")
    assert not (tmp_path / "out").exists()
