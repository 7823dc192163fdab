"""The maps of a rendered scene with noise, on a tiny model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mmdiff_core.backbones.toybox import load_toybox
from mmdiff_core.evaluation.pointing.noised_renders import point
from mmdiff_core.evaluation.toybox.toybox_cases import draw_toybox_cases
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.toyworld.render.renderer import render
from tests.helpers.small_referee import VOCABULARY


def test_every_step_of_a_scene_is_recorded_beside_its_masks(model: Path) -> None:
    personalizer = Personalizer(*load_toybox(model))
    (case,) = draw_toybox_cases(VOCABULARY, {2: 1})
    pointed, again = point(personalizer, case), point(personalizer, case)
    width, height = personalizer.sizes.default
    assert pointed.maps.steps == tuple(range(personalizer.defaults.steps))
    assert pointed.maps.subjects == case.scene.caption.names
    assert set(pointed.maps.kinds) == {"text", "image", "influence"}
    assert pointed.maps.others
    assert all(record.kinds["text"].ndim == 4 for record in pointed.maps.records)  # heads apart
    assert np.array_equal(pointed.masks, render([case.scene], (height, width)).masks[0].numpy())
    first, second = (maps.records[-1].kinds["text"] for maps in (pointed.maps, again.maps))
    assert torch.equal(first, second)


def test_the_network_sees_the_scene_more_and_more(model: Path, monkeypatch) -> None:
    """The latents go from nearly pure noise to nearly the encoded render."""
    backbone, adapter = load_toybox(model)
    personalizer = Personalizer(backbone, adapter)
    (case,) = draw_toybox_cases(VOCABULARY, {1: 1})
    seen: list[torch.Tensor] = []
    stock = type(backbone).predict_noise

    def watched(self, latents, *args):
        seen.append(latents.clone())
        return stock(self, latents, *args)

    monkeypatch.setattr(type(backbone), "predict_noise", watched)
    point(personalizer, case)
    width, height = personalizer.sizes.default
    image = render([case.scene], (height, width)).images * 2 - 1
    with torch.no_grad():
        clean = backbone.vae.encode(image).latent_dist.mode() * backbone.vae.config.scaling_factor
    distances = [float((latents - clean).norm()) for latents in seen]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.5 * distances[0]
