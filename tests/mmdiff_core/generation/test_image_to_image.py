"""Images that start from another: as diffusers' own image to image, with every scheduler, and on the built-in model."""

from __future__ import annotations

from dataclasses import replace

import diffusers
import numpy as np
import pytest
from PIL import Image

from mmdiff_core.errors import SettingsError
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.results import GeneratedImage
from mmdiff_core.types import GenerateRequest
from mmdiff_core.weights.adapter_file import save_adapter
from tests.helpers import tiny
from tests.helpers.stock_kinds import PICTURE, open_kind

REQUEST = GenerateRequest(
    prompt="a cat next to a robot on the beach",
    subjects=tiny.cat_and_robot(),
    seeds=(5,),
    steps=5,
    guidance=4.0,
    start_step=2,
    width=40,
    height=24,
    image=PICTURE,
    image_strength=0.8,
)


@pytest.fixture(scope="module")
def personalizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Personalizer]:
    models = {}
    for family in ("sd", "sdxl"):
        path = tmp_path_factory.mktemp("adapters") / f"{family}.safetensors"
        save_adapter(tiny.adapter_for(open_kind(family)), path)
        models[family] = Personalizer.of_pipeline(open_kind(family), path)
    return models


def _made(model: Personalizer, request: GenerateRequest) -> tuple[list[int], GeneratedImage]:
    """The numbers of the steps, and the image."""
    steps = list(model.generate(request))
    finished = steps[-1].finished
    assert finished is not None
    assert {step.steps for step in steps} == {len(steps)}
    return [step.step for step in steps], finished


def _difference(one: Image.Image, other: Image.Image) -> int:
    return int(np.abs(np.asarray(one, dtype=int) - np.asarray(other, dtype=int)).max())


@pytest.mark.parametrize("strength", [0.2, 0.8, 1.0])
@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_it_is_the_image_of_an_attached_stock_pipeline(
    family: str, strength: float, personalizers: dict[str, Personalizer]
) -> None:
    """With delayed merging, whose steps count from the first, made or left out."""
    model, request = personalizers[family], replace(REQUEST, image_strength=strength)
    steps, ours = _made(model, request)
    assert steps == list(range(1, int(5 * strength) + 1))
    assert ours.maps is not None
    assert {record.step for record in ours.maps.records} <= set(range(len(steps)))
    pipe = open_kind(f"{family} img2img")
    with model.attach(pipe) as attached:
        condition = attached.condition(request)
        stock = pipe(**condition.pipeline_kwargs(strength=strength), image=PICTURE).images[0]
    assert _difference(ours.image, stock) <= 1


@pytest.mark.parametrize(
    "scheduler",
    ["DDIMScheduler", "PNDMScheduler", "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler", "LCMScheduler"],
)
def test_every_scheduler_goes_on_from_the_middle(scheduler: str, personalizers: dict[str, Personalizer]) -> None:
    model = personalizers["sd"]
    own = getattr(diffusers, scheduler).from_config(model.backbone.scheduler.config)
    changed = Personalizer(replace(model.backbone, scheduler=own), model.adapter)
    steps, ours = _made(changed, replace(REQUEST, image_strength=0.4))
    assert len(steps) == 2
    weak = _made(changed, replace(REQUEST, image_strength=0.2))[1].image
    strong = _made(changed, replace(REQUEST, image_strength=1.0))[1].image
    assert _difference(weak, strong) > 0
    assert ours.settings["image_strength"] == 0.4


def test_a_request_without_an_image_is_as_before(personalizers: dict[str, Personalizer]) -> None:
    model, plain = personalizers["sd"], replace(REQUEST, image=None)
    steps, image = _made(model, plain)
    assert len(steps) == 5
    assert "image_strength" not in image.settings
    assert _difference(image.image, _made(model, replace(plain, image_strength=0.1))[1].image) == 0


@pytest.mark.parametrize("strength", [0, -1, 1.01, float("nan")])
def test_a_strength_out_of_range_is_refused(strength: float, personalizers: dict[str, Personalizer]) -> None:
    with pytest.raises(SettingsError, match="image strength must be above 0 and at most 1"):
        personalizers["sd"].plan(replace(REQUEST, image_strength=strength))


def test_an_image_of_another_shape_is_cut_around_its_middle(personalizers: dict[str, Personalizer]) -> None:
    wide = Image.new("RGBA", (200, 24), "red")
    wide.paste("blue", (80, 0, 120, 24))
    image = personalizers["sd"].plan(replace(REQUEST, image=wide)).request.image
    assert image is not None
    assert (image.size, image.mode) == ((40, 24), "RGB")
    assert np.unique(np.asarray(image).reshape(-1, 3), axis=0).tolist() == [[0, 0, 255]]


@pytest.mark.slow
def test_the_built_in_model_keeps_more_of_the_image_at_a_lower_strength() -> None:
    """It is a rectified flow: its scheduler mixes image and noise by the flow's own rule."""
    model = Personalizer.from_assets()
    request = GenerateRequest("a cat on the beach", steps=10, recording=None, seeds=(3,))
    start = _made(model, request)[1].image
    again = replace(request, prompt="a cat in the snow", image=start, seeds=(8,))
    far = {}
    for strength in (0.1, 0.5, 1.0):
        made = _made(model, replace(again, image_strength=strength))[1].image
        far[strength] = np.abs(np.asarray(made, dtype=float) - np.asarray(start)).mean()
    assert far[0.1] < 12 < far[0.5] < far[1.0]
