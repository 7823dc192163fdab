"""Image styles: unlike photos and one another, with the same toys in colours that can be distinguished."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mmdiff_core.errors import SettingsError
from mmdiff_core.toyworld import PlacedToy, Scene, make_toy, render
from mmdiff_core.toyworld.render.colours import COLOURS
from mmdiff_core.toyworld.render.styles import PHOTO, STYLES, restyle
from tests.helpers.toy_scenes import NO_CAPTION, painted, scenes

DRAWN = [style for style in STYLES if style != PHOTO]
VIVID = ("red", "yellow", "green", "blue", "purple", "pink")


@pytest.mark.parametrize("size", [64, 96, (48, 80)])
@pytest.mark.parametrize("style", DRAWN)
def test_a_style_changes_the_image_and_no_mask(style: str, size: int | tuple[int, int]) -> None:
    photos = [replace(scene, style=PHOTO) for scene in scenes(6)]
    photo, drawn = render(photos, size), render([replace(scene, style=style) for scene in photos], size)
    assert torch.equal(photo.masks, drawn.masks)
    assert drawn.images.shape == photo.images.shape
    assert 0 <= float(drawn.images.min()) <= float(drawn.images.max()) <= 1
    assert float((drawn.images - photo.images).abs().mean((1, 2, 3)).min()) > 0.02


def test_styles_differ_from_one_another() -> None:
    shown = [render([replace(scene, style=style) for scene in scenes(4)], 64).images for style in STYLES]
    for i, a in enumerate(shown):
        for b in shown[:i]:
            assert float((a - b).abs().mean()) > 0.03


def test_what_makes_each_style() -> None:
    photo, water, pencil, pixels = (render([replace(s, style=t) for s in scenes(6)], 96).images for t in STYLES)
    assert float(water[..., :1, :].min()) > 0.9  # paper is left white around a watercolour
    assert _saturation(pencil) < 0.6 * _saturation(photo)
    assert torch.equal(pixels[..., ::2, ::2].repeat_interleave(2, 2).repeat_interleave(2, 3), pixels)
    assert len(pixels.unique()) <= 8 < len(photo.unique())


@pytest.mark.parametrize("style", DRAWN)
@pytest.mark.parametrize("background", ["meadow", "sunset", "under water"])
def test_colours_of_toys_can_be_distinguished_in_every_style(style: str, background: str) -> None:
    """The mean colour of a toy in a style is nearest to that of the toy of the same colour in another scene."""
    first, second = (_means(style, background, seed) for seed in (1, 2))
    assert torch.equal(torch.cdist(first, second).argmin(1), torch.arange(len(VIVID)))


def test_a_style_is_a_function_of_the_scene_alone() -> None:
    drawn = [replace(scene, style=STYLES[i % len(STYLES)]) for i, scene in enumerate(scenes(9, 3))]
    together = render(drawn, 64)
    for i, scene in enumerate(drawn):
        assert torch.equal(render([scene], 64).images[0], together.images[i])


def test_another_sheet_of_paper_for_another_scene() -> None:
    plain = torch.full((2, 3, 32, 32), 0.5)
    for style in ("watercolour", "pencil sketch"):
        drawn = plain.clone()
        restyle(drawn, [style] * 2, [1, 2])
        again = plain[:1].clone()
        restyle(again, [style], [2])
        assert not torch.equal(drawn[0], drawn[1])
        assert torch.equal(drawn[1], again[0])


def test_an_unknown_style_is_refused_with_the_styles_there_are() -> None:
    with pytest.raises(SettingsError, match=r'style "fresco".*photo, watercolour'):
        render([replace(scenes(1)[0], style="fresco")], 16)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("style", DRAWN)
def test_cuda_draws_what_the_cpu_draws(style: str) -> None:
    drawn = [replace(scene, style=style) for scene in scenes(4)]
    cpu, gpu = render(drawn, 96).images, render(drawn, 96, "cuda").images.cpu()
    assert float((cpu - gpu).abs().mean()) < 5e-3


def _saturation(images: torch.Tensor) -> float:
    return float((images.amax(1) - images.amin(1)).mean())


def _means(style: str, background: str, seed: int) -> torch.Tensor:
    """Mean colour of the same toy in each vivid colour, in one view of the background."""
    drawn = []
    for name in VIVID:
        placed = PlacedToy(painted(make_toy("bear", 5), COLOURS[name]), 0.0, 0.36, 0.6, 20.0 * seed)
        drawn.append(Scene((placed,), background, seed, 10.0, NO_CAPTION, style))
    images, masks = render(drawn, 64)
    weights = masks[:, :1].float()
    return (images * weights).sum((2, 3)) / weights.sum((2, 3))
