"""A whole training run: from an empty folder to weights that the app can load.

runs/NAME/
    recipe.json            the resolved recipe
    run.json               the settings that later starts must keep
    model/                 a stock Stable Diffusion folder, the adapter, the preview and the vocabulary; every stage
                           writes its part
    dataset/               rendered scenes, unless the recipe renders every sample on the fly
    autoencoder-dataset/   those of the whole world for the autoencoder, where the recipe has some
    autoencoder/ ...       one folder per stage: state.pt, log.jsonl, sheets/, result.json once it is finished
    student/<digest>/      the stage of the student, and the trajectories of the teacher that has those weights
    cooled/                a run of its own, of the last other stage with a falling learning rate
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mmdiff_core.atomic_files import atomic_folder, save_network, write_text
from mmdiff_core.backbones.toybox import load_toybox
from mmdiff_core.errors import ModelError, SettingsError, TrainingError
from mmdiff_core.toyworld.scenes.vocabulary import save_vocabulary
from mmdiff_core.training.distillation.student import STUDENT, StudentStage
from mmdiff_core.training.run_config import check_run_config, write_run_config
from mmdiff_core.training.stage import Stage, TrainerOptions
from mmdiff_core.training.toybox.autoencoder import AutoencoderStage
from mmdiff_core.training.toybox.cached_dataset import CachedDataset, check_not_empty
from mmdiff_core.training.toybox.contrastive import ContrastiveStage
from mmdiff_core.training.toybox.create import create_fresh_adapter, create_pipeline
from mmdiff_core.training.toybox.flow_matching import FlowMatchingStage
from mmdiff_core.training.toybox.recipes import STAGES, Recipe
from mmdiff_core.training.toybox.run_datasets import AUTOENCODER, DATASET, rendering, scenes_of, stage_dataset
from mmdiff_core.training.toybox.run_options import RunOptions, processes, sample_seed
from mmdiff_core.training.trainer import STATE, Trainer
from mmdiff_core.weights.adapter_file import save_adapter
from mmdiff_core.weights.integrity import INDEX

logger = logging.getLogger(__name__)

COOLED = "cooled"
UNCHANGEABLE = ("size", "reference", "shapes", "world")  # of a recipe, while a run folder is in use
_NEED_ALL_SCENES = ("base", "adapter", "joint", STUDENT)  # stages that go through all scenes; the others see few


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
    _check_start(recipe, options)
    if recipe.scenes and DATASET not in options.stages:
        check_not_empty(scenes_of(options))
    with processes(options).main_process_first():
        _prepare_folder(recipe, options)
    results: dict[str, Mapping[str, float]] = {}
    with rendering(recipe, options) as wait:
        for name in options.stages:
            if name == DATASET:
                continue
            if name in _NEED_ALL_SCENES and not recipe.stages[name].time_budget:
                wait()  # with a time budget it begins with the scenes that there are
            if (result := _train_stage(name, recipe, options)) is None:
                break
            results[name] = result
        else:
            if not any(settings.time_budget for settings in recipe.stages.values()):
                wait()
    processes(options).destroy_process_group()
    return results


def cool_down(recipe: Recipe, options: RunOptions, steps: int) -> dict[str, Mapping[str, float]]:
    """Take a copy of a run's last stage, but for the student's, to a learning rate of zero; return what it measured.

    The run itself stays as it is and may continue. A later call continues an unfinished one, or begins anew if the run
    has gone on in the meantime.

    Args:
        recipe: of the run.
        options: of the run.
        steps: over which the learning rate falls.

    Raises:
        TrainingError: the stage has not begun.
    """
    stage = next(name for name in reversed(all_stages(recipe)) if name != STUDENT)
    state = options.folder / stage / STATE
    if not state.exists():
        raise TrainingError(f'There is nothing to cool down in "{options.folder}" yet: train the stage {stage} first.')
    reached = int(torch.load(state, weights_only=True, mmap=True)["step"])
    folder, begun = options.folder / COOLED, json.dumps({"from_step": reached, "steps": steps}) + "\n"
    note = folder / "cool_down.json"
    with processes(options).main_process_first():
        if not note.exists() or note.read_text(encoding="utf-8") != begun:
            with atomic_folder(folder) as temporary:
                shutil.copytree(options.folder / "model", temporary / "model")
                (temporary / stage).mkdir()
                shutil.copy(state, temporary / stage / STATE)
                (temporary / note.name).write_text(begun, encoding="utf-8")
    recipe = recipe.with_stage(stage, steps=reached + steps, cool_down=steps, time_budget=0.0)
    dataset = scenes_of(options)
    return train_toybox(recipe, replace(options, folder=folder, stages=(stage,), init_from=None, dataset=dataset))


def _check_start(recipe: Recipe, options: RunOptions) -> None:
    """Check that there is a model to start from, of the recipe's sizes, before any work.

    Raises:
        ModelError: the folder is no model folder.
        SettingsError: there is none although the recipe needs one, or its sizes are others.
    """
    if options.init_from is None:
        if "autoencoder" not in recipe.stages and not (options.folder / "model" / INDEX).exists():
            raise SettingsError(
                f"The recipe {recipe.name} goes on from a trained model: add --init-from assets/toybox, or another one."
            )
        return
    if not (options.init_from / INDEX).exists():
        raise ModelError(f'"{options.init_from}" is not a model folder: it has no {INDEX}.')
    for part, sizes in _sizes(recipe).items():
        file = options.init_from / part / "config.json"
        config = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        for name, size in sizes.items():
            if config.get(name) != size:
                raise SettingsError(
                    f'The model in "{options.init_from}" has {part} {name} {config.get(name)}, but the recipe '
                    f"{recipe.name} has {size}: start from another model, or from nothing without --init-from."
                )


def _sizes(recipe: Recipe) -> dict[str, dict[str, Any]]:
    """Return what the configurations of a model's parts must say."""
    shapes = recipe.shapes
    return {
        "vae": {"block_out_channels": list(shapes.vae_channels), "latent_channels": shapes.latent_channels},
        "unet": {
            "block_out_channels": list(shapes.unet_channels),
            "in_channels": shapes.latent_channels,
            "sample_size": recipe.size // 2 ** (len(shapes.vae_channels) - 1),
            "cross_attention_dim": shapes.text_width,
        },
        "image_encoder": {"image_size": recipe.reference, "patch_size": shapes.patch},
    }


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


def _train_stage(name: str, recipe: Recipe, options: RunOptions) -> Mapping[str, float] | None:
    """Train a stage; return what it measured at its end, None if it was interrupted before."""
    folder = _stage_folder(name, recipe, options)
    done = folder / "result.json"
    if done.exists():
        measured: dict[str, float] = json.loads(done.read_text())
        if measured.get("steps", math.inf) >= recipe.stages[name].steps:
            logger.info("%s is finished already: %s", name, done.read_text().strip())
            return measured
        logger.info("%s goes on to step %d", name, recipe.stages[name].steps)
    trainer = Trainer(
        _make_stage(name, recipe, options),
        folder,
        options.device,
        recipe.save_every_s,
        recipe.sheet_every,
        options.minutes,
        TrainerOptions(half_weights=True),
    )
    finished = trainer.run()
    result: Mapping[str, float] = {}
    if trainer.accelerator.is_main_process:
        # An interrupted stage results in a usable model, too.
        result = {**trainer.finish(), "steps": recipe.stages[name].steps}
        logger.info("%s: %s", name, result)
        if finished:
            write_text(done, json.dumps(dict(result)) + "\n")
    trainer.accelerator.wait_for_everyone()  # the next stage reads what this one wrote
    return result if finished else None


def _stage_folder(name: str, recipe: Recipe, options: RunOptions) -> Path:
    """Return the folder of a stage; a student of other weights, or of another size, is another one."""
    if name != STUDENT:
        return options.folder / name
    digest = hashlib.sha256(repr(recipe.distillation).encode())
    for part in ("unet", "text_encoder", "adapter.safetensors"):
        for file in sorted((options.folder / "model").glob(f"{part}/*" if "." not in part else part)):
            digest.update(file.read_bytes())
    return options.folder / name / digest.hexdigest()[:12]


def _make_stage(name: str, recipe: Recipe, options: RunOptions) -> Stage:
    backbone, adapter = load_toybox(options.folder / "model", options.device)
    settings, model = recipe.stages[name], options.folder / "model"
    dataset, held_out = stage_dataset(name, recipe, options)
    if name in AUTOENCODER:
        return AutoencoderStage(name, model, backbone.vae, dataset, held_out, settings, recipe.losses)
    encoder = backbone.image_encoder
    assert encoder is not None  # every toybox model has one
    if name == "encoders":
        text_encoder, tokenizer = backbone.text_encoders[0], backbone.tokenizers[0]
        return ContrastiveStage(model, text_encoder, tokenizer, encoder, dataset, held_out, settings)
    if isinstance(dataset, CachedDataset):
        dataset.encode_with(backbone.vae, None if name == "base" else encoder)  # the base sees no photos
    if name == STUDENT:
        return StudentStage(
            model, backbone, adapter, dataset, held_out, settings, recipe.losses, recipe.mix, sample_seed(options),
            _stage_folder(name, recipe, options) / "trajectories", recipe.distillation,
        )  # fmt: skip
    return FlowMatchingStage(
        name, model, backbone, adapter, dataset, held_out, settings, recipe.losses, recipe.mix, sample_seed(options)
    )


def _prepare_model(recipe: Recipe, options: RunOptions) -> None:
    """Fill ``folder/model`` with random networks, or those to start from; a model that is there stays."""
    model = options.folder / "model"
    if (model / INDEX).exists():
        return
    if options.init_from is not None:
        with atomic_folder(model) as temporary:
            shutil.copytree(options.init_from, temporary, dirs_exist_ok=True)
            # Shipped weights are in shards, which would be read in place of the whole file that training writes.
            save_network(load_toybox(temporary)[0].unet, temporary / "unet")
        return
    pipeline = create_pipeline(recipe)
    adapter = create_fresh_adapter(recipe, pipeline.unet)
    with atomic_folder(model) as temporary:
        save_adapter(adapter, temporary / "adapter.safetensors")
        _blank_preview(temporary, recipe.shapes.latent_channels)
        pipeline.save_pretrained(temporary)


def _blank_preview(model: Path, channels: int) -> None:
    """Write a gray preview, until there is an autoencoder to fit one to."""
    write_text(model / "preview.json", json.dumps({"matrix": [[0.0] * 3] * channels, "bias": [0.5] * 3}))


def all_stages(recipe: Recipe) -> tuple[str, ...]:
    """Return the stages of a recipe, in order."""
    return (*([DATASET] if recipe.scenes else []), *(stage for stage in STAGES if stage in recipe.stages))
