"""A model's one file gives the images of the folder that it was made from."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DiffusionPipeline,
    EDMDPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
)
from safetensors.torch import load_file, save_file

from mmdiff_core.backbones.base import Defaults
from mmdiff_core.errors import ModelError
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.types import GenerateRequest
from mmdiff_core.weights.adapter_file import save_adapter
from tests.helpers import single_files, tiny

pytestmark = pytest.mark.slow

REQUEST = GenerateRequest(
    "a cat on the beach", negative_prompt="snow", seeds=(3,), steps=3, guidance=4.0, width=32, height=32
)
VELOCITY = {**single_files.BETAS, "prediction_type": "v_prediction", "clip_sample": False, "set_alpha_to_one": False}
SMALL = {"modelspec.resolution": "128x128"}  # latents of 16 x 16, as the folder's


def _sd2_v() -> DiffusionPipeline:
    return single_files.sd2(DDIMScheduler(**VELOCITY))


def _ssd() -> DiffusionPipeline:
    """No attention in the middle, and other depths on the way up."""
    return single_files.sdxl(
        mid_block_type="UNetMidBlock2D",
        transformer_layers_per_block=(1, [2, 1]),
        reverse_transformer_layers_per_block=([1, 2, 1], 1),
    )


KINDS: dict[str, Callable[[], DiffusionPipeline]] = {
    "sd1": single_files.sd1,
    "sd2": _sd2_v,
    "sdxl": single_files.sdxl,
    "ssd": _ssd,
    "bk-sdm": lambda: single_files.sd1(mid_block_type=None, layers_per_block=1),
}


def _image(personalizer: Personalizer, request: GenerateRequest = REQUEST) -> np.ndarray:
    *_, last = personalizer.generate(request)
    return np.asarray(last.finished.image, dtype=int)


def _settings(personalizer: Personalizer) -> dict[str, object]:
    """The scheduler's, and its class."""
    scheduler = personalizer.backbone.scheduler
    return {name: x for name, x in scheduler.config.items() if name[0] != "_"} | {"class": type(scheduler)}


@pytest.fixture(scope="module", params=KINDS)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model as a folder and as one file."""
    home = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    pipe = KINDS[request.param]()
    pipe.save_pretrained(home / "folder")
    return home / "folder", single_files.write_file(pipe, home / "model.safetensors", SMALL)


def test_the_image_is_that_of_the_folder(both: tuple[Path, Path]) -> None:
    folder, file = map(Personalizer.load, both)
    assert type(folder.backbone) is type(file.backbone)
    assert _settings(folder) == _settings(file)
    assert folder.sizes == file.sizes
    assert np.abs(_image(folder) - _image(file)).max() <= 1


def test_every_weight_is_that_of_the_folder(both: tuple[Path, Path]) -> None:
    folder, file = (Personalizer.load(source).backbone for source in both)
    pairs = [
        (folder.unet, file.unet),
        (folder.vae, file.vae),
        *zip(folder.text_encoders, file.text_encoders, strict=True),
    ]
    for one, other in pairs:
        theirs = other.state_dict()
        assert one.state_dict().keys() == theirs.keys()
        assert all(torch.equal(x, theirs[name]) for name, x in one.state_dict().items())


def test_diffusers_reads_the_file_in_the_same_way(both: tuple[Path, Path]) -> None:
    """So that the file of these tests is one that others would recognise."""
    folder, file = both
    if folder.parent.name.startswith(("sd2", "bk-sdm")):
        pytest.skip("diffusers knows the number of layers by heart, and no model without a middle")
    kind = StableDiffusionXLPipeline if hasattr(tiny.open_stock(str(folder)), "text_encoder_2") else (
        StableDiffusionPipeline
    )  # fmt: skip
    theirs = kind.from_single_file(str(file), config=str(folder), local_files_only=True)
    image = theirs(
        REQUEST.prompt, negative_prompt="snow", num_inference_steps=3, guidance_scale=4.0, width=32, height=32,
        generator=torch.Generator().manual_seed(3),
    ).images[0]  # fmt: skip
    assert np.abs(_image(Personalizer.load(file)) - np.asarray(image)).max() <= 1


def test_subjects_work_and_precision_is_as_asked(both: tuple[Path, Path], tmp_path: Path) -> None:
    folder, file = both
    tiny.image_encoder().save_pretrained(tmp_path / "eyes")
    save_adapter(tiny.adapter_for(tiny.open_stock(str(folder))), tmp_path / "adapter.safetensors")
    given = (tmp_path / "adapter.safetensors", tmp_path / "eyes", "cpu", torch.bfloat16)
    personalizer = Personalizer.load(file, *given)
    assert personalizer.backbone.unet.dtype == torch.bfloat16
    *_, last = personalizer.generate(
        GenerateRequest("a cat next to a robot", tiny.cat_and_robot(), steps=2, width=32, height=32)
    )
    assert last.maps.at("cat", "image").max() > 0
    assert personalizer.backbone.display_name == "model.safetensors"


# ---------------------------------------------------------------- what files say of their schedule


@pytest.mark.parametrize(
    ("name", "marks", "metadata", "scheduler", "settings"),
    [
        ("plain", {}, {}, EulerDiscreteScheduler, {"prediction_type": "epsilon", "timestep_spacing": "leading"}),
        ("noob", {"v_pred": 0}, {}, EulerDiscreteScheduler, {"prediction_type": "v_prediction"}),
        ("noob", {"v_pred": 0, "ztsnr": 0}, {}, EulerDiscreteScheduler, {"rescale_betas_zero_snr": True}),
        ("spec", {}, {"modelspec.prediction_type": "v"}, EulerDiscreteScheduler, {"prediction_type": "v_prediction"}),
        ("my_lightning_4step", {}, {}, EulerDiscreteScheduler, {"timestep_spacing": "trailing"}),
        ("my_lcm", {}, {}, LCMScheduler, {"beta_start": 0.00085}),
        ("pg", {"edm_mean": 4, "edm_std": 4}, {}, EDMDPMSolverMultistepScheduler, {"sigma_data": 0.5}),
    ],
)
def test_the_schedule_of_an_sdxl(
    tmp_path: Path, name: str, marks: dict[str, int], metadata: dict[str, str], scheduler: type, settings: dict
) -> None:
    more = {mark: torch.ones(1, size, 1, 1) if size else torch.tensor([]) for mark, size in marks.items()}
    file = single_files.write_file(single_files.sdxl(), tmp_path / f"{name}.safetensors", metadata, **more)
    backbone = Personalizer.load(file).backbone
    assert type(backbone.scheduler) is scheduler
    assert {key: backbone.scheduler.config[key] for key in settings} == settings
    assert backbone.defaults == (Defaults(4, 1.0, few=True) if name.startswith("my_") else Defaults(30, 5.0))
    if "edm_mean" in marks:
        assert (backbone.vae.config.latents_mean, backbone.vae.config.scaling_factor) == ([1.0] * 4, 0.5)


def test_what_an_sd2_predicts_is_in_the_yaml_beside_it_or_taken_for_velocity(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = single_files.write_file(_sd2_v(), tmp_path / "model.safetensors")
    with caplog.at_level(logging.INFO):
        backbone = Personalizer.load(file).backbone
    assert backbone.scheduler.config.prediction_type == "v_prediction"
    assert backbone.sizes.default == (192, 192)  # 96 latents
    assert "put the YAML file of the model beside it" in caplog.text
    file.with_suffix(".yaml").write_text("model:\n  params:\n    linear_start: 0.00085\n")
    backbone = Personalizer.load(file).backbone
    assert type(backbone.scheduler) is PNDMScheduler
    assert backbone.sizes.default == (128, 128)
    file.with_suffix(".yaml").write_text('model:\n  params:\n    parameterization: "v"\n')
    assert Personalizer.load(file).backbone.scheduler.config.prediction_type == "v_prediction"


def test_missing_and_damaged_tensors_are_told_in_a_sentence(tmp_path: Path) -> None:
    file = single_files.write_file(single_files.sd1(), tmp_path / "model.safetensors")
    tensors = load_file(file)
    name = "model.diffusion_model.output_blocks.0.0.in_layers.2.weight"
    save_file({key: x for key, x in tensors.items() if key != name}, tmp_path / "cut.safetensors")
    with pytest.raises(ModelError, match=r"tensors of the unet in .*cut.safetensors.* do not fit"):
        Personalizer.load(tmp_path / "cut.safetensors")
    tensors["model.diffusion_model.out.2.weight"][0] = float("nan")
    save_file(tensors, tmp_path / "broken.safetensors")
    with pytest.raises(ModelError, match="weights of its unet are not numbers"):
        Personalizer.load(tmp_path / "broken.safetensors")
