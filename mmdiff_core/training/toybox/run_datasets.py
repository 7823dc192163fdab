"""The rendered scenes of a toybox run: where they are, rendering them, and the dataset of each stage."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from mmdiff_core.errors import TrainingError
from mmdiff_core.toyworld.scenes.vocabulary import WHOLE_WORLD
from mmdiff_core.training.toybox.autoencoder import WHOLE
from mmdiff_core.training.toybox.cached_dataset import CachedDataset, render_dataset
from mmdiff_core.training.toybox.on_the_fly_dataset import OnTheFlyDataset
from mmdiff_core.training.toybox.recipes import Recipe
from mmdiff_core.training.toybox.run_options import RunOptions, sample_seed
from mmdiff_core.training.toybox.samples import ToyDataset

DATASET = "dataset"  # the stage that renders scenes, and their folder
AUTOENCODER_DATASET = "autoencoder-dataset"
AUTOENCODER = ("autoencoder", WHOLE)
FIRST_SHARDS = 8  # that a stage waits for, while the others are rendered


def dataset_folder(run: Path) -> Path:
    """Return the folder of a run's rendered scenes, which earlier versions called "pool"."""
    old = run / "pool"
    return old if old.exists() else run / DATASET


def scenes_of(options: RunOptions) -> Path:
    """Return the folder of the scenes that a run uses."""
    return options.dataset or dataset_folder(options.folder)


@contextmanager
def rendering(recipe: Recipe, options: RunOptions) -> Iterator[Callable[[], None]]:
    """Render the dataset if it is among the stages: on CPUs now, with a GPU in a process parallel to the first stages.

    Yields a function that waits until all of it is rendered.

    Raises:
        TrainingError: rendering failed.
    """
    if DATASET not in options.stages:
        yield lambda: None
        return
    if recipe.autoencoder_scenes and set(AUTOENCODER) & set(options.stages):
        _autoencoder_dataset(recipe, options).render(options.workers)
    if options.device == "cpu" or options.stages == (DATASET,):
        _cached_dataset(recipe, options).render(options.workers)
        yield lambda: None
        return
    shards = scenes_of(options)
    process = get_context("spawn").Process(target=render_dataset, args=(shards, recipe, options.workers))
    process.start()

    def wait() -> None:
        process.join()
        if process.exitcode:
            raise TrainingError(f"Rendering the dataset failed with exit code {process.exitcode}: see the lines above.")

    try:
        while len(list(shards.glob("*.safetensors"))) < FIRST_SHARDS and process.is_alive():
            time.sleep(0.5)
        yield wait
    finally:
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGINT)  # it finishes the shards that it is rendering
        process.join()


def stage_dataset(stage: str, recipe: Recipe, options: RunOptions) -> tuple[ToyDataset, ToyDataset]:
    """Return the samples that a stage learns from, and held-out ones."""
    if stage in AUTOENCODER and recipe.autoencoder_scenes:
        dataset: ToyDataset = _open(_autoencoder_dataset(recipe, options))
        recipe = autoencoder_recipe(recipe)
    else:
        dataset = _dataset(recipe, options)
    return dataset, OnTheFlyDataset(recipe, seed=1, identities="held_out", device=options.device)


def _dataset(recipe: Recipe, options: RunOptions) -> ToyDataset:
    if not recipe.scenes:
        return OnTheFlyDataset(recipe, seed=sample_seed(options), device=options.device, weighted=True)
    return _open(_cached_dataset(recipe, options))


def _open(dataset: CachedDataset) -> CachedDataset:
    dataset.refresh()
    return dataset


def _cached_dataset(recipe: Recipe, options: RunOptions) -> CachedDataset:
    return CachedDataset(scenes_of(options), recipe, sample_seed(options))


def _autoencoder_dataset(recipe: Recipe, options: RunOptions) -> CachedDataset:
    return CachedDataset(options.folder / AUTOENCODER_DATASET, autoencoder_recipe(recipe), sample_seed(options))


def autoencoder_recipe(recipe: Recipe) -> Recipe:
    """Return the recipe of what the autoencoder learns from: images of the whole world, each as likely as it is."""
    return replace(recipe, world=WHOLE_WORLD, scenes=recipe.autoencoder_scenes, count_weights=(1.0, 1.0, 1.0))
