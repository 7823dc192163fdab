"""The scenes of a run: rendered beside the first stages on a GPU, apart for the autoencoder, weighted when drawn."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from mmdiff_core.errors import TrainingError
from mmdiff_core.toyworld.scenes.vocabulary import WHOLE_WORLD
from mmdiff_core.training.toybox.cached_dataset import CachedDataset
from mmdiff_core.training.toybox.run_datasets import (
    AUTOENCODER_DATASET,
    DATASET,
    autoencoder_recipe,
    dataset_folder,
    rendering,
    scenes_of,
    stage_dataset,
)
from mmdiff_core.training.toybox.run_options import RunOptions
from tests.helpers.toybox_training import RECIPE, render_shards


def test_the_autoencoder_has_scenes_of_the_whole_world(tmp_path: Path) -> None:
    recipe = replace(RECIPE, autoencoder_scenes=6, count_weights=(1.0, 2.0, 3.0))
    render_shards(tmp_path / AUTOENCODER_DATASET, autoencoder_recipe(recipe), count=1)
    render_shards(tmp_path / DATASET, recipe, count=2)
    options = RunOptions(tmp_path, ("autoencoder",))
    images, held_out = stage_dataset("autoencoder", recipe, options)
    assert images.sample_images(4).images.shape == (4, 3, RECIPE.size, RECIPE.size)
    assert (len(images.shards), images.recipe.world, held_out.recipe.world) == (1, WHOLE_WORLD, WHOLE_WORLD)
    assert images.recipe.count_weights == (1.0, 1.0, 1.0)
    scenes, _ = stage_dataset("joint", recipe, options)
    assert (len(scenes.shards), scenes.recipe.world) == (2, RECIPE.world)
    everything, _ = stage_dataset("whole-images", RECIPE, options)  # a recipe without scenes apart
    assert len(everything.shards) == 2


@pytest.mark.parametrize("scenes", [0, 12])
def test_more_subjects_may_be_drawn_more_often(scenes: int, tmp_path: Path) -> None:
    """Never one with one subject, where that weighs nothing."""
    recipe = replace(RECIPE, scenes=scenes, count_weights=(0.0, 1.0, 1.0), size=16, reference=16)
    if scenes:
        render_shards(tmp_path / DATASET, recipe, count=3)
    dataset, _ = stage_dataset("joint", recipe, RunOptions(tmp_path, ("joint",)))
    counts = Counter(dataset.sample(12).present.sum(1).tolist())
    assert set(counts) <= {2, 3}
    assert counts.total() == 12


def test_a_run_may_use_the_scenes_of_another(tmp_path: Path) -> None:
    assert scenes_of(RunOptions(tmp_path / "a", ())) == tmp_path / "a" / DATASET
    assert scenes_of(RunOptions(tmp_path / "a", (), dataset=tmp_path / "b")) == tmp_path / "b"


@pytest.mark.slow
def test_scenes_are_rendered_beside_the_first_stages_on_a_gpu(tmp_path: Path) -> None:
    recipe = replace(RECIPE, scenes=8)
    options = RunOptions(tmp_path, (DATASET, "base"), device="cuda")  # rendering itself needs no GPU
    with rendering(recipe, options) as wait:
        wait()
        dataset = CachedDataset(tmp_path / DATASET, recipe)
        dataset.refresh()
        assert len(dataset.sample(4).captions) == 4


@pytest.mark.slow
def test_a_failure_to_render_is_named(tmp_path: Path) -> None:
    options = RunOptions(tmp_path, (DATASET, "base"), device="cuda")
    with (
        rendering(replace(RECIPE, size=0), options) as wait,
        pytest.raises(TrainingError, match="Rendering the dataset failed"),
    ):
        wait()


def test_the_dataset_of_an_earlier_version_is_found(tmp_path: Path) -> None:
    assert dataset_folder(tmp_path) == tmp_path / "dataset"
    (tmp_path / "pool").mkdir()
    assert dataset_folder(tmp_path) == tmp_path / "pool"
