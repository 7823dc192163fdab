"""A whole training run: from an empty folder to weights that the app can load.

runs/NAME/
    recipe.json            the resolved recipe
    run.json               the settings that later starts must keep
    model/                 a stock Stable Diffusion folder, the adapter, the preview and the vocabulary; every stage
                           writes its part
    dataset/               rendered scenes, unless the recipe renders every sample on the fly
    autoencoder/ ...       one folder per stage: state.pt, log.jsonl, sheets/, result.json once it is finished
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from accelerate import PartialState

from mmdiff_core.atomic_files import atomic_folder, save_network, write_text
from mmdiff_core.backbones.toybox import load_toybox
from mmdiff_core.errors import ModelError, SettingsError, TrainingError
from mmdiff_core.toyworld.scenes.vocabulary import save_vocabulary
from mmdiff_core.training.run_config import check_run_config, write_run_config
from mmdiff_core.training.toybox.autoencoder import AutoencoderStage
from mmdiff_core.training.toybox.cached_dataset import CachedDataset, check_not_empty, render_dataset
from mmdiff_core.training.toybox.contrastive import ContrastiveStage
from mmdiff_core.training.toybox.create import create_fresh_adapter, create_pipeline
from mmdiff_core.training.toybox.extend_channels import extend_autoencoder, extend_unet
from mmdiff_core.training.toybox.flow_matching import FlowMatchingStage
from mmdiff_core.training.toybox.on_the_fly_dataset import OnTheFlyDataset
from mmdiff_core.training.toybox.recipes import STAGES, Recipe
from mmdiff_core.training.toybox.samples import ToyDataset
from mmdiff_core.training.trainer import Stage, Trainer
from mmdiff_core.weights.adapter_file import save_adapter
from mmdiff_core.weights.integrity import INDEX

logger = logging.getLogger(__name__)

DATASET = "dataset"  # the stage that renders scenes, and their folder
UNCHANGEABLE = ("size", "reference", "shapes", "world")  # of a recipe, while a run folder is in use
FIRST_SHARDS = 8  # that a stage waits for, while the others are rendered
_NEED_ALL_SCENES = ("base", "adapter", "joint")  # stages that go through all scenes; the others see few


@dataclass(frozen=True)
class RunOptions:
    """Options of a run that are not part of its recipe."""

    folder: Path
    stages: tuple[str, ...]
    device: str = "cpu"
    init_from: Path | None = None  # a model folder to start from, such as the shipped weights
    minutes: float | None = None  # save and stop each stage after that much time
    seed: int = 0  # of the order of the samples
    workers: int = 1  # processes that render scenes


def train_toybox(recipe: Recipe, options: RunOptions) -> dict[str, Mapping[str, float]]:
    """Run the stages in turn, each from where an earlier run left it; return what each measured.

    Raises:
        SettingsError: a stage that the recipe does not have, or a folder with a run of another recipe.
        ModelError: the folder to start from is no model folder.
        TrainingError: the dataset is neither there nor among the stages.
    """
    known = all_stages(recipe)
    if unknown := set(options.stages) - set(known):
        raise SettingsError(
            f"The recipe {recipe.name} has no stage {', '.join(sorted(unknown))}. Choose among {', '.join(known)}."
        )
    if recipe.scenes and DATASET not in options.stages:
        check_not_empty(dataset_folder(options.folder))
    with _processes(options).main_process_first():
        _prepare_folder(recipe, options)
    results: dict[str, Mapping[str, float]] = {}
    with rendering(recipe, options) as wait:
        for name in options.stages:
            if name == DATASET:
                continue
            if name in _NEED_ALL_SCENES:
                wait()
            if (result := _train_stage(name, recipe, options)) is None:
                break
            results[name] = result
        else:
            wait()
    _processes(options).destroy_process_group()
    return results


def _prepare_folder(recipe: Recipe, options: RunOptions) -> None:
    options.folder.mkdir(parents=True, exist_ok=True)
    resolved = recipe.resolved()
    config = {field: resolved[field] for field in UNCHANGEABLE}
    check_run_config(options.folder, config)
    write_run_config(options.folder, config)
    start = None if options.init_from is None else options.init_from.name
    recipe.write(options.folder, {"seed": options.seed, "device": options.device, "started_from": start})
    _prepare_model(recipe, options)
    save_vocabulary(recipe.world, options.folder / "model")


def dataset_folder(run: Path) -> Path:
    """Return the folder of a run's rendered scenes, which earlier versions called "pool"."""
    old = run / "pool"
    return old if old.exists() else run / DATASET


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
    if options.device == "cpu" or options.stages == (DATASET,):
        _cached_dataset(recipe, options).render(options.workers)
        yield lambda: None
        return
    shards = dataset_folder(options.folder)
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


def _train_stage(name: str, recipe: Recipe, options: RunOptions) -> Mapping[str, float] | None:
    """Train a stage; return what it measured at its end, None if it was interrupted before."""
    folder, done = options.folder / name, options.folder / name / "result.json"
    if done.exists():
        logger.info("%s is finished already: %s", name, done.read_text().strip())
        return dict(json.loads(done.read_text()))
    trainer = Trainer(
        _make_stage(name, recipe, options),
        folder,
        options.device,
        recipe.save_every_s,
        recipe.sheet_every,
        options.minutes,
    )
    finished = trainer.run()
    result: Mapping[str, float] = {}
    if trainer.accelerator.is_main_process:
        result = trainer.finish()  # an interrupted stage results in a usable model, too
        logger.info("%s: %s", name, result)
        if finished:
            write_text(done, json.dumps(dict(result)) + "\n")
    trainer.accelerator.wait_for_everyone()  # the next stage reads what this one wrote
    return result if finished else None


def _make_stage(name: str, recipe: Recipe, options: RunOptions) -> Stage:
    backbone, adapter = load_toybox(options.folder / "model", options.device)
    settings, model = recipe.stages[name], options.folder / "model"
    dataset = _dataset(recipe, options)
    held_out = OnTheFlyDataset(recipe, seed=1, identities="held_out", device=options.device)
    if name in ("autoencoder", "decoder"):
        return AutoencoderStage(name, model, backbone.vae, dataset, held_out, settings, recipe.losses)
    encoder = backbone.image_encoder
    assert encoder is not None  # every toybox model has one
    if name == "encoders":
        text_encoder, tokenizer = backbone.text_encoders[0], backbone.tokenizers[0]
        return ContrastiveStage(model, text_encoder, tokenizer, encoder, dataset, held_out, settings)
    if isinstance(dataset, CachedDataset):
        dataset.encode_with(backbone.vae, None if name == "base" else encoder)  # the base sees no photos
    return FlowMatchingStage(
        name, model, backbone, adapter, dataset, held_out, settings, recipe.losses, recipe.mix, _seed(options)
    )


def _dataset(recipe: Recipe, options: RunOptions) -> ToyDataset:
    if not recipe.scenes:
        return OnTheFlyDataset(recipe, seed=_seed(options), device=options.device)
    dataset = _cached_dataset(recipe, options)
    dataset.refresh()
    return dataset


def _cached_dataset(recipe: Recipe, options: RunOptions) -> CachedDataset:
    return CachedDataset(dataset_folder(options.folder), recipe, _seed(options))


def _seed(options: RunOptions) -> int:
    """Return a seed for each process, so that together they see different samples."""
    return options.seed + 1000 * _processes(options).process_index


def _processes(options: RunOptions) -> PartialState:
    """Return the state of the processes that torchrun started, or of this one alone."""
    return PartialState(cpu=options.device == "cpu")


def _prepare_model(recipe: Recipe, options: RunOptions) -> None:
    """Fill ``folder/model`` with random networks, or those to start from; a model that is there stays."""
    model = options.folder / "model"
    if (model / INDEX).exists():
        return
    if options.init_from is not None:
        if not (options.init_from / INDEX).exists():
            raise ModelError(f'"{options.init_from}" is not a model folder: it has no {INDEX}.')
        with atomic_folder(model) as temporary:
            shutil.copytree(options.init_from, temporary, dirs_exist_ok=True)
            _adapt_model(temporary, recipe.shapes.latent_channels)
        return
    pipeline = create_pipeline(recipe)
    adapter = create_fresh_adapter(recipe, pipeline.unet)
    with atomic_folder(model) as temporary:
        save_adapter(adapter, temporary / "adapter.safetensors")
        _blank_preview(temporary, recipe.shapes.latent_channels)
        pipeline.save_pretrained(temporary)


def _adapt_model(model: Path, channels: int) -> None:
    """Prepare a copied model for training, with as many latent channels as the recipe has.

    Shipped weights are in shards, which would be read in place of the whole file that training writes.
    """
    backbone, _ = load_toybox(model)
    unet, vae = backbone.unet, backbone.vae
    if vae.config.latent_channels < channels:
        unet, vae = extend_unet(unet, channels), extend_autoencoder(vae, channels)
        save_network(vae, model / "vae")
        _blank_preview(model, channels)
    save_network(unet, model / "unet")


def _blank_preview(model: Path, channels: int) -> None:
    """Write a gray preview, until there is an autoencoder to fit one to."""
    write_text(model / "preview.json", json.dumps({"matrix": [[0.0] * 3] * channels, "bias": [0.5] * 3}))


def all_stages(recipe: Recipe) -> tuple[str, ...]:
    """Return the stages of a recipe, in order."""
    return (*([DATASET] if recipe.scenes else []), *(stage for stage in STAGES if stage in recipe.stages))
