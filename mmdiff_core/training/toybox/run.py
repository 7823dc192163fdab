"""A whole training run: from an empty folder to weights that the app can load.

runs/NAME/
    recipe.json            the resolved configuration
    run.json               what of it another start must not change
    model/                 a stock Stable Diffusion folder, the adapter, the preview and the vocabulary; every stage
                           writes its part
    pool/                  rendered samples, if the recipe keeps any
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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
from accelerate import PartialState

from mmdiff_core.atomic_files import folder_written_aside, save_part, write_text
from mmdiff_core.backbones.processors import cross_attention_layers
from mmdiff_core.backbones.toybox import load_toybox
from mmdiff_core.errors import ModelError, SettingsError, TrainingError
from mmdiff_core.nn.adapter import AdapterConfig, MMDiffAdapter, TextTower
from mmdiff_core.toyworld.scenes.vocabulary import save_vocabulary
from mmdiff_core.training.run_config import check_run_config, write_run_config
from mmdiff_core.training.toybox.autoencoder import AutoencoderStage
from mmdiff_core.training.toybox.cached_dataset import Pool, Source, Stream, check_pool
from mmdiff_core.training.toybox.contrastive import EncodersStage
from mmdiff_core.training.toybox.create import create_pipeline
from mmdiff_core.training.toybox.extend_channels import widen_autoencoder, widen_unet
from mmdiff_core.training.toybox.flow_matching import DiffusionStage
from mmdiff_core.training.toybox.recipes import STAGES, Recipe
from mmdiff_core.training.trainer import Stage, Trainer
from mmdiff_core.weights.adapter_file import save_adapter
from mmdiff_core.weights.integrity import INDEX

logger = logging.getLogger(__name__)

POOL = "pool"
SAME = ("size", "reference", "shapes", "world")  # of a recipe, from one run in a folder to the next
FIRST_SHARDS = 8  # before a stage starts beside the rendering of the others
_WHOLE_POOL = ("base", "adapter", "joint")  # stages that want every sample; the others look at few


@dataclass(frozen=True)
class RunOptions:
    """How to run a recipe, beside the recipe."""

    folder: Path
    stages: tuple[str, ...]
    device: str = "cpu"
    init_from: Path | None = None  # a model folder to start from, such as the shipped weights
    minutes: float | None = None  # save and stop each stage after that much time
    seed: int = 0  # of the order in which samples are drawn
    workers: int = 1  # processes that render the pool


def train(recipe: Recipe, options: RunOptions) -> dict[str, Mapping[str, float]]:
    """Run the stages in turn, each from where an earlier run left it; returns what each measured.

    Raises:
        SettingsError: a stage that the recipe does not have, or a folder that holds another recipe's run.
        ModelError: the folder to start from is no model folder.
        TrainingError: the pool is neither there nor among the stages.
    """
    known = all_stages(recipe)
    if unknown := set(options.stages) - set(known):
        raise SettingsError(
            f"The recipe {recipe.name} has no stage {', '.join(sorted(unknown))}. Choose among {', '.join(known)}."
        )
    if recipe.pool and POOL not in options.stages:
        check_pool(options.folder / POOL)
    with _processes(options).main_process_first():
        options.folder.mkdir(parents=True, exist_ok=True)
        resolved = recipe.resolved()
        begun = {field: resolved[field] for field in SAME}
        check_run_config(options.folder, begun)
        write_run_config(options.folder, begun)
        recipe.write(
            options.folder, {"seed": options.seed, "device": options.device, "started_from": _name(options.init_from)}
        )
        _prepare_model(recipe, options)
        save_vocabulary(recipe.world, options.folder / "model")
    results: dict[str, Mapping[str, float]] = {}
    with filling_beside(recipe, options) as filled:
        for name in options.stages:
            if name == POOL:
                continue
            if name in _WHOLE_POOL:
                filled()
            if (result := _train_stage(name, recipe, options)) is None:
                break
            results[name] = result
        else:
            filled()
    _processes(options).destroy_process_group()
    return results


def _name(folder: Path | None) -> str | None:
    return None if folder is None else folder.name


@contextmanager
def filling_beside(recipe: Recipe, options: RunOptions) -> Iterator[Callable[[], None]]:
    """Fill the pool, if that is asked for, beside the first stages where a GPU does their work, else at once.

    Yields what waits until the pool is full.

    Raises:
        TrainingError: the pool could not be filled.
    """
    if POOL not in options.stages:
        yield lambda: None
        return
    if options.device == "cpu" or options.stages == (POOL,):
        _pool(recipe, options).fill(options.workers)
        yield lambda: None
        return
    process = get_context("spawn").Process(target=_fill, args=(recipe, options))
    process.start()

    def filled() -> None:
        process.join()
        if process.exitcode:
            raise TrainingError(f"Rendering the pool failed with exit code {process.exitcode}: see the lines above.")

    try:
        while len(list((options.folder / POOL).glob("*.safetensors"))) < FIRST_SHARDS and process.is_alive():
            time.sleep(0.5)
        yield filled
    finally:
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGINT)  # it finishes the shards at hand
        process.join()


def _fill(recipe: Recipe, options: RunOptions) -> None:
    with suppress(KeyboardInterrupt):
        _pool(recipe, options).fill(options.workers)


def _train_stage(name: str, recipe: Recipe, options: RunOptions) -> Mapping[str, float] | None:
    """What the stage measured at its end; None if it was interrupted before."""
    folder, done = options.folder / name, options.folder / name / "result.json"
    if done.exists():
        logger.info("%s is finished already: %s", name, done.read_text().strip())
        return dict(json.loads(done.read_text()))
    trainer = Trainer(
        _stage(name, recipe, options), folder, options.device, recipe.save_every_s, recipe.sheet_every, options.minutes
    )
    finished = trainer.run()
    result: Mapping[str, float] = {}
    if trainer.accelerator.is_main_process:
        result = trainer.finish()  # an interrupted stage leaves a usable model, too
        logger.info("%s: %s", name, result)
        if finished:
            write_text(done, json.dumps(dict(result)) + "\n")
    trainer.accelerator.wait_for_everyone()  # the next stage reads what this one wrote
    return result if finished else None


def _stage(name: str, recipe: Recipe, options: RunOptions) -> Stage:
    backbone, adapter = load_toybox(options.folder / "model", options.device)
    source, held_out = _source(recipe, options), Stream(recipe, seed=1, identities="held_out", device=options.device)
    settings, model = recipe.stages[name], options.folder / "model"
    if name in ("autoencoder", "decoder"):
        return AutoencoderStage(name, model, backbone.vae, source, held_out, settings, recipe.losses)
    if name == "encoders":
        encoder = backbone.image_encoder
        assert encoder is not None
        text_encoder, tokenizer = backbone.text_encoders[0], backbone.tokenizers[0]
        return EncodersStage(model, text_encoder, tokenizer, encoder, source, held_out, settings)
    if isinstance(source, Pool):
        source.encode_with(backbone.vae)
    return DiffusionStage(
        name, model, backbone, adapter, source, held_out, settings, recipe.losses, recipe.mix, _seed(options)
    )


def _source(recipe: Recipe, options: RunOptions) -> Source:
    if not recipe.pool:
        return Stream(recipe, seed=_seed(options), device=options.device)
    pool = _pool(recipe, options)
    pool.refresh()
    return pool


def _pool(recipe: Recipe, options: RunOptions) -> Pool:
    return Pool(options.folder / POOL, recipe, _seed(options))


def _seed(options: RunOptions) -> int:
    """A seed of each process's own, so that together they see different samples."""
    return options.seed + 1000 * _processes(options).process_index


def _processes(options: RunOptions) -> PartialState:
    """Return the state of the processes that torchrun started, or of this one alone."""
    return PartialState(cpu=options.device == "cpu")


def _prepare_model(recipe: Recipe, options: RunOptions) -> None:
    """Random networks, or those to start from, in ``folder/model``; an earlier run's stay."""
    model = options.folder / "model"
    if (model / INDEX).exists():
        return
    if options.init_from is not None:
        if not (options.init_from / INDEX).exists():
            raise ModelError(f'"{options.init_from}" is not a model folder: it has no {INDEX}.')
        with folder_written_aside(model) as aside:
            shutil.copytree(options.init_from, aside, dirs_exist_ok=True)
            _take_up(aside, recipe.shapes.latent_channels)
        return
    pipeline = create_pipeline(recipe)
    adapter = create_adapter(recipe, pipeline.unet)
    with folder_written_aside(model) as aside:
        save_adapter(adapter, aside / "adapter.safetensors")
        _blank_preview(aside, recipe.shapes.latent_channels)
        pipeline.save_pretrained(aside)


def _take_up(model: Path, channels: int) -> None:
    """Make a copied model ready to be trained, with as many latent channels as the recipe has.

    What ships is in shards; beside a whole file, which training writes, they would be read in its place.
    """
    backbone, _ = load_toybox(model)
    unet, vae = backbone.unet, backbone.vae
    if vae.config.latent_channels < channels:
        unet, vae = widen_unet(unet, channels), widen_autoencoder(vae, channels)
        save_part(vae, model / "vae")
        _blank_preview(model, channels)
    save_part(unet, model / "unet")


def _blank_preview(model: Path, channels: int) -> None:
    """Until an autoencoder is finished there is nothing to fit one on."""
    write_text(model / "preview.json", json.dumps({"matrix": [[0.0] * 3] * channels, "bias": [0.5] * 3}))


def create_adapter(recipe: Recipe, unet: torch.nn.Module) -> MMDiffAdapter:
    """A fresh adapter in the recipe's sizes."""
    shapes = recipe.shapes
    return MMDiffAdapter(
        AdapterConfig(
            cross_attention=cross_attention_layers(unet),
            text_towers=(TextTower(shapes.text_width),),
            cls_width=shapes.projection,
            patch_width=shapes.image_width,
            rank=shapes.rank,
            tokens=shapes.tokens,
            refiner_head_dim=shapes.refiner_head,
            null_token=shapes.null_token,
        )
    )


def all_stages(recipe: Recipe) -> tuple[str, ...]:
    """The recipe's whole line, in order."""
    return (*([POOL] if recipe.pool else []), *(stage for stage in STAGES if stage in recipe.stages))
