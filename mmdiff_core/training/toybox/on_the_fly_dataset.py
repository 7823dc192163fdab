"""Samples that are rendered on the fly."""

from __future__ import annotations

import random

import torch
from torch import Tensor

from mmdiff_core.toyworld.render.renderer import render, to_bytes
from mmdiff_core.toyworld.scenes.random_scenes import Identities, random_scene, reference_scene
from mmdiff_core.toyworld.scenes.scene import Scene
from mmdiff_core.training.toybox.recipes import Recipe
from mmdiff_core.training.toybox.samples import MAX_SUBJECTS, ImagesWithMasks, Samples, coverage


class OnTheFlyDataset:
    """Renders every sample on the fly; needs no files and never repeats one.

    Args:
        recipe: sizes, the number of photos of a subject, and the world.
        seed: two datasets of the same seed are the same.
        identities: ``held_out`` toys are never trained on.
        device: where to render.
        weighted: draw scenes by the recipe's ``count_weights``; what is stored is weighted when it is drawn instead.
    """

    def __init__(
        self, recipe: Recipe, seed: int, identities: Identities = "train", device: str = "cpu", weighted: bool = False
    ) -> None:
        self.recipe, self.identities, self.device, self.weighted = recipe, identities, device, weighted
        self._seed = f"stream:{seed}:{identities}"  # changing this text would change every dataset
        self.rng = random.Random(self._seed)

    def seek(self, step: int) -> None:
        """Continue with the samples of that training step."""
        self.rng.seed(f"{self._seed}:{step}")

    def sample(self, count: int) -> Samples:
        """Render images of one to three subjects, and reference photos of each."""
        scenes = [self._scene() for _ in range(count)]
        photos = self.recipe.photos
        views = [
            [reference_scene(self.rng, placed.toy, scene, self.recipe.world) for _ in range(photos)]
            for scene in scenes
            for placed in scene.toys
        ]
        rendered = render(scenes, self.recipe.size, self.device)
        shown = render([view for toy in views for view in toy], self.recipe.reference, self.device).images
        present = torch.tensor([[s < len(scene.toys) for s in range(MAX_SUBJECTS)] for scene in scenes])
        references = torch.zeros(count, MAX_SUBJECTS, photos, *shown.shape[1:], dtype=torch.uint8, device=shown.device)
        references[present] = to_bytes(shown).unflatten(0, (-1, photos))
        descriptions = iter([toy[0].caption.detailed for toy in views])
        return Samples(
            images=to_bytes(rendered.images),
            masks=coverage(rendered.masks),
            references=references,
            present=present,
            captions=tuple(scene.caption for scene in scenes),
            descriptions=tuple(tuple(next(descriptions) for _ in scene.toys) for scene in scenes),
        )

    def sample_images(self, count: int) -> ImagesWithMasks:
        """Render images of one to three subjects."""
        rendered = render([self._scene() for _ in range(count)], self.recipe.size, self.device)
        return ImagesWithMasks(to_bytes(rendered.images), coverage(rendered.masks).amax(1))

    def sample_photo_pairs(self, count: int) -> tuple[Tensor, list[str]]:
        """Render two photos of each of ``count`` toys, uint8 (count, 2, 3, R, R); describe each first one."""
        toys = [self._scene(1).toys[0].toy for _ in range(count)]
        views = [reference_scene(self.rng, toy, vocabulary=self.recipe.world) for toy in toys for _ in range(2)]
        shown = render(views, self.recipe.reference, self.device).images
        return to_bytes(shown).unflatten(0, (count, 2)), [view.caption.detailed for view in views[::2]]

    def _scene(self, subjects: int | None = None) -> Scene:
        weights = self.recipe.count_weights
        while True:
            scene = random_scene(self.rng, subjects, self.identities, self.recipe.world)
            keep = weights[len(scene.toys) - 1] / max(weights)
            if not self.weighted or subjects is not None or keep == 1 or self.rng.random() < keep:
                return scene
