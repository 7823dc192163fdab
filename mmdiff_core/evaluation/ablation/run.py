"""An ablation in a folder; a later start skips what is finished.

OUT/
    settings.json             what all variants share; a start with other settings is refused
    pool/                     rendered samples, the same for all
    variants/NAME/            adapter.safetensors, training/, report/ (of the suite), pictures/
    ablation.json, .md        the table
    ablation.png              the first prompts by every variant
"""

from __future__ import annotations

import json
import logging
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from mmdiff_core.atomic_files import write_text
from mmdiff_core.backbones.toybox import FOLDER, Toybox, load_toybox
from mmdiff_core.errors import SettingsError
from mmdiff_core.evaluation.ablation.adapter_variants import FULL, VARIANTS, AdapterVariant
from mmdiff_core.evaluation.ablation.report import BASE, MeasuredVariant, write_ablation_report
from mmdiff_core.evaluation.ablation.side_by_side import draw_variant_images, time_images, write_comparison_sheet
from mmdiff_core.evaluation.ablation.stage import ADAPTER, STAGE, VariantStage, create_variant_adapter, load_variant
from mmdiff_core.evaluation.result_folder import weights_fingerprint
from mmdiff_core.evaluation.toybox.run import ToyboxOptions, evaluate_model, read_toybox_scores
from mmdiff_core.evaluation.toybox.toybox_cases import FIRST_SEED
from mmdiff_core.nn.config import AdapterConfig
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.referee.network import FILE, load_referee
from mmdiff_core.training.stage import StageSettings, TrainerOptions
from mmdiff_core.training.toybox.cached_dataset import CachedDataset
from mmdiff_core.training.toybox.recipes import RECIPES, Recipe
from mmdiff_core.training.trainer import Trainer

logger = logging.getLogger(__name__)

STEPS = 1280
TIMED_STEPS = 6
PHOTOS = 2  # of a subject
TRAINER = TrainerOptions(half_weights=True)


@dataclass(frozen=True)
class AblationOptions:
    """What to compare, and with how much effort.

    ``minutes`` of training for the whole method determine the number of ``steps``, which all variants share.
    """

    folder: Path
    variants: tuple[AdapterVariant, ...] = tuple(VARIANTS.values())
    start: Path = FOLDER  # a model folder, whose UNet, text and image encoder are the frozen base
    referee: Path = FILE
    steps: int | None = None
    minutes: float | None = None
    batch: int = 48
    lr: float = 8e-4
    scenes: int = 16_000
    prompts: int = 100  # with one subject, and as many with two; one image each
    seed: int = FIRST_SEED
    device: str = "cpu"
    workers: int = 1


def ablate(options: AblationOptions) -> dict[str, Any]:
    """Train and judge the remaining variants, and write the report; return the content of ``ablation.json``.

    Raises:
        SettingsError: the folder contains an ablation with other settings, or a number is invalid.
        ModelError, CheckpointError: the model or the referee is missing or broken.
        KeyboardInterrupt: Ctrl-C during training, whose state is saved.
    """
    _check(options)
    backbone, like = load_toybox(options.start, options.device)
    load_referee(options.referee).config.check_knows(backbone.vocabulary)
    recipe = _begin(options, backbone, like.config)
    distractors: dict[str, Tensor] = {}
    measured = [_measure(variant, recipe, options, backbone, distractors) for variant in options.variants]
    personalizers = {
        one.variant.name: Personalizer(backbone, load_variant(_home(options, one.variant) / ADAPTER).to(options.device))
        for one in measured
    }
    seconds = time_images({**personalizers, BASE: Personalizer(backbone)}, backbone.vocabulary, options.seed)
    homes = {one.variant.title: _home(options, one.variant) / "pictures" for one in measured}
    size = backbone.sizes.default
    write_comparison_sheet(backbone.vocabulary, options.seed, size, homes, options.folder / "ablation.png")
    return write_ablation_report(measured, seconds, _read_settings(options.folder), options.folder)


def recipe_of(backbone: Toybox, options: AblationOptions, steps: int) -> Recipe:
    """Return the recipe for the base's adapters: the shipped losses, images of the base's size and its vocabulary."""
    assert backbone.image_encoder is not None  # of a model with an adapter
    stage = StageSettings(steps, options.batch, options.lr, warmup=max(1, min(200, steps // 10)))
    return replace(
        RECIPES["cpu"],
        name="ablation",
        size=backbone.sizes.default[0],
        reference=backbone.image_encoder.size,
        photos=PHOTOS,
        scenes=options.scenes,
        stages={STAGE: stage},
        world=backbone.vocabulary,
        sheet_every=steps + 1,  # the report has a sheet of its own
    )


# ---------------------------------------------------------------- what all variants share


def _check(options: AblationOptions) -> None:
    if options.steps is not None and options.minutes is not None:
        raise SettingsError("Give either --steps or --minutes: the minutes determine the number of steps.")
    numbers = {"steps": options.steps, "minutes": options.minutes, "batch": options.batch, "scenes": options.scenes}
    for name, number in {**numbers, "prompts": options.prompts}.items():
        if number is not None and number <= 0:
            raise SettingsError(f"The number of {name} is {number}; choose a greater one.")
    if options.seed < FIRST_SEED:
        raise SettingsError(f"The seed is {options.seed}: identities below {FIRST_SEED} are trained on.")
    if VARIANTS[FULL] not in options.variants:
        raise SettingsError("The whole method must be among the variants, because the others are compared with it.")


def _begin(options: AblationOptions, backbone: Toybox, like: AdapterConfig) -> Recipe:
    """Return the recipe, with the number of steps of the folder, and render its samples."""
    kept, settings = _read_settings(options.folder), _settings(options, like)
    if other := [name for name in settings if kept and kept.get(name) != settings[name]]:
        was = ", ".join(f"{name} {kept.get(name)}" for name in other)
        raise SettingsError(f'The folder "{options.folder}" contains an ablation with {was}: choose another folder.')
    open_ended = options.steps is None and options.minutes is None
    if kept and not open_ended and (kept["asked"] != _budget(options)):
        raise SettingsError(
            f'The variants in "{options.folder}" are trained for {kept["steps"]} steps ({kept["asked"]}): choose the '
            "same, or another folder."
        )
    steps = int(kept["steps"]) if kept else options.steps or STEPS
    recipe = recipe_of(backbone, options, steps)
    CachedDataset(options.folder / "pool", recipe).render(options.workers)
    if not kept and options.minutes is not None:
        recipe = recipe_of(backbone, options, _steps_within(options.minutes, recipe, options))
    if not kept:
        settings |= {"asked": _budget(options), "steps": recipe.stages[STAGE].steps}
        write_text(options.folder / "settings.json", json.dumps(settings, indent=2) + "\n")
    return recipe


def _settings(options: AblationOptions, like: AdapterConfig) -> dict[str, Any]:
    whole, losses = VARIANTS[FULL].configure(like), RECIPES["cpu"].losses
    return {
        "whole method": f"{whole.tokens} tokens per photo; LoRA rank {whole.rank}; text constraint "
        f"{losses.text_constraint:g}; image constraint {losses.image_constraint:g}",
        "base": weights_fingerprint(options.start),
        "referee": weights_fingerprint(options.referee),
        "batch": options.batch,
        "rate": options.lr,
        "pool": options.scenes,
        "prompts": options.prompts,
        "first identity": options.seed,
        "device": options.device,
    }


def _budget(options: AblationOptions) -> str:
    return f"{options.minutes} minutes" if options.minutes is not None else f"{options.steps or STEPS} steps"


def _read_settings(folder: Path) -> dict[str, Any]:
    path = folder / "settings.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _steps_within(minutes: float, recipe: Recipe, options: AblationOptions) -> int:
    """Measure a few steps, and return the number of steps of the whole method in ``minutes``."""
    took = 0.0
    for steps in (1, TIMED_STEPS):  # the extra cost of a first step does not count
        with tempfile.TemporaryDirectory() as folder:
            stage = _stage(VARIANTS[FULL], recipe.with_stage(STAGE, steps=steps), options, Path(folder))
            trainer = Trainer(stage, Path(folder), options.device, sheet_every=steps + 1, options=TRAINER)
            began = time.monotonic()
            if not trainer.run():
                raise KeyboardInterrupt
            took = time.monotonic() - began
    steps = max(1, round(60 * minutes * TIMED_STEPS / took))
    logger.info("%d steps of %d samples take about %g minutes", steps, options.batch, minutes)
    return steps


# ---------------------------------------------------------------- one variant


def _measure(
    variant: AdapterVariant, recipe: Recipe, options: AblationOptions, backbone: Toybox, distractors: dict[str, Tensor]
) -> MeasuredVariant:
    """Train a variant, judge it and draw its images, unless that is done."""
    home = _home(options, variant)
    training = _train(variant, recipe, options)
    personalizer = Personalizer(backbone, load_variant(home / ADAPTER).to(options.device))
    suite = ToyboxOptions(
        folder=home / "report",
        model=options.start,
        referee=options.referee,
        prompts={1: options.prompts, 2: options.prompts},
        seeds=(0,),
        seed=options.seed,
        device=options.device,
        map_kind=variant.map_kind,
        bounds=variant.name == FULL,
    )
    about = {"variant": variant.name, "adapter": weights_fingerprint(home / ADAPTER)}
    table = evaluate_model(personalizer, backbone.vocabulary, suite, about, distractors)
    draw_variant_images(personalizer, backbone.vocabulary, options.seed, variant.map_kind, home / "pictures")
    return MeasuredVariant(variant, training, table, read_toybox_scores(home / "report"))


def _train(variant: AdapterVariant, recipe: Recipe, options: AblationOptions) -> dict[str, float]:
    """Train a variant, or continue; return the result of the training."""
    home = _home(options, variant)
    done = home / "training" / "result.json"
    if done.exists() and (home / ADAPTER).exists():
        return dict(json.loads(done.read_text()))
    stage = _stage(variant, recipe, options, home)
    trainer = Trainer(
        stage, home / "training", options.device, recipe.save_every_s, recipe.sheet_every, options=TRAINER
    )
    stage.number = trainer.step
    logger.info("%s: %s", variant.name, variant.title)
    if not trainer.run():
        raise KeyboardInterrupt  # saved; the next start continues
    result = {**trainer.finish(), **_last_terms(home / "training" / "log.jsonl")}
    write_text(done, json.dumps(result) + "\n")
    return result


def _stage(variant: AdapterVariant, recipe: Recipe, options: AblationOptions, folder: Path) -> VariantStage:
    backbone, like = load_toybox(options.start, options.device)  # its own, whose gradients are its own
    adapter = create_variant_adapter(variant, like.config, backbone.unet).to(options.device)
    return VariantStage(variant, folder, backbone, adapter, CachedDataset(options.folder / "pool", recipe), recipe)


def _last_terms(log: Path) -> dict[str, float]:
    """Return the loss terms of the last line."""
    newest = json.loads(log.read_text().splitlines()[-1])
    return {name: value for name, value in newest.items() if name not in ("step", "time", "batches_s")}


def _home(options: AblationOptions, variant: AdapterVariant) -> Path:
    return options.folder / "variants" / variant.name
