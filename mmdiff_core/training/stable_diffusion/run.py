"""A training run on annotated images: an MM-Diff adapter on a frozen Stable Diffusion or SDXL.

runs/NAME/
    recipe.json            the resolved recipe
    run.json               the settings that later starts must keep
    adapter.safetensors    the averaged weights: at every validation, and at the end
    state.pt               the state to resume from
    log.jsonl, tensorboard/, sheets/, and result.json once it is finished
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import gcd
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import PartialState

from mmdiff_core.atomic_files import write_text
from mmdiff_core.backbones.loading import check_adapter_layers
from mmdiff_core.backbones.processors import cross_attention_layers, self_attention_layers
from mmdiff_core.backbones.registry import load_backbone
from mmdiff_core.backbones.stable_diffusion import StableDiffusion
from mmdiff_core.encoders.image_loading import open_image_encoder
from mmdiff_core.errors import ModelError, SettingsError, TrainingError
from mmdiff_core.nn.adapter import AdapterConfig, MMDiffAdapter, TextTower
from mmdiff_core.training.annotated.folder import AnnotatedFolder, RecordSource, ShuffledRecords, split_for_validation
from mmdiff_core.training.annotated.shards import ShardedRecords, find_shards
from mmdiff_core.training.annotated.training_examples import ExampleMaker, TrainingExample
from mmdiff_core.training.precision import mixed_precision
from mmdiff_core.training.run_config import check_run_config, write_run_config
from mmdiff_core.training.stable_diffusion.noise_prediction import NoisePredictionStage
from mmdiff_core.training.stable_diffusion.recipes import SdRecipe
from mmdiff_core.training.stage import TrainerOptions
from mmdiff_core.training.trainer import STATE, Trainer
from mmdiff_core.weights.adapter_file import load_adapter
from mmdiff_core.weights.hub import CLIP
from mmdiff_core.weights.ip_adapter import is_ip_adapter

logger = logging.getLogger(__name__)

RESULT = "result.json"
CHANGEABLE = ("checkpointing", "validate_every", "sheet_every", "log_every", "save_every_s")  # of a recipe, at a resume
HALF_PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class SdOptions:
    """Inputs and options of a run that are not part of its recipe."""

    folder: Path
    base: str  # a folder or a name in the hub's cache
    data: str  # an annotated folder, a folder of shards, or a pattern of shards
    validation: Path | None = None  # an annotated folder; by default a share of the data, nothing of shards
    image_encoder: str | None = None  # by default the base's own, else CLIP ViT-L/14
    init_from: Path | None = None  # an adapter to start from
    device: str = "cpu"
    minutes: float | None = None
    tensorboard: bool = True


def train_sd(recipe: SdRecipe, options: SdOptions) -> Mapping[str, float] | None:
    """Train from where an earlier run left it; return what was measured at the end, None if it was interrupted.

    Raises:
        ModelError: the base is missing, of another kind than the recipe's, or its image encoder is missing.
        TrainingError: the data cannot be used.
        SettingsError: a setting does not suit the base, or the folder has a run of other settings.
        CheckpointError: the adapter to start from does not fit.
    """
    state = PartialState(cpu=options.device == "cpu")
    done, config = options.folder / RESULT, unchangeable_settings(recipe, options)
    if done.exists() or (options.folder / STATE).exists():
        check_run_config(options.folder, config)
    if done.exists():
        logger.info("%s is finished already: %s", options.folder, done.read_text().strip())
        return dict(json.loads(done.read_text()))
    options.folder.mkdir(parents=True, exist_ok=True)
    precision = mixed_precision(options.device) if recipe.precision == "auto" else recipe.precision
    dtype = HALF_PRECISIONS.get(precision, torch.float32) if recipe.half_base else torch.float32
    backbone = open_base(recipe, options, str(state.device), dtype)
    adapter = open_adapter(recipe, options, backbone)
    stage = make_stage(recipe, options, backbone, adapter, state)
    if state.is_main_process:
        recipe.write(options.folder)
        write_run_config(options.folder, config)
    trainer = Trainer(
        stage, options.folder, options.device, recipe.save_every_s, recipe.sheet_every, options.minutes,
        TrainerOptions(
            precision, accumulate=recipe.accumulate, eight_bit=recipe.optimizer == "adamw8bit",
            log_every=recipe.log_every, validate_every=recipe.validate_every if stage.held_out else 0,
            tensorboard=options.tensorboard,
        ),
    )  # fmt: skip
    finished = trainer.run()
    result: Mapping[str, float] = {}
    if state.is_main_process:
        result = trainer.finish()
        if finished:
            write_text(done, json.dumps(dict(result)) + "\n")
    state.wait_for_everyone()
    state.destroy_process_group()
    return result if finished else None


def unchangeable_settings(recipe: SdRecipe, options: SdOptions) -> dict[str, Any]:
    """Return the settings that the weights depend on, which later starts of the run must keep."""
    sources = {
        "base": options.base,
        "data": options.data,
        "validation": options.validation,
        "adapter": options.init_from,
    }
    places = {name: None if source is None else _whereabouts(source) for name, source in sources.items()}
    numbers = {name: value for name, value in asdict(recipe).items() if name not in CHANGEABLE}
    return {**places, "image encoder": options.image_encoder, "recipe": numbers}


def _whereabouts(source: str | Path) -> str:
    """Return the full path of a file or folder; other names, as of the hub, unchanged."""
    return str(Path(source).resolve()) if Path(source).exists() else str(source)


def open_base(recipe: SdRecipe, options: SdOptions, device: str, dtype: torch.dtype) -> StableDiffusion:
    """Open the frozen base, with an image encoder.

    Raises:
        ModelError: see ``train_sd``.
        SettingsError: the size of the images does not suit it.
    """
    opened, _ = load_backbone(options.base, None, options.image_encoder, device, dtype)
    backbone = cast(StableDiffusion, opened)
    if backbone.stock.__name__ != recipe.kind:
        raise ModelError(
            f'The recipe {recipe.name} is for a {recipe.kind}, but "{options.base}" is a {backbone.stock.__name__}: '
            "choose another --recipe or another --base."
        )
    encoder = backbone.image_encoder or open_image_encoder(CLIP, dtype)
    encoder.keep_cls = recipe.adapter.face  # as the portrait release reads patches
    for part in (backbone.unet, backbone.vae, *backbone.text_encoders, encoder):
        part.eval().requires_grad_(False).to(device)
    if recipe.checkpointing:
        backbone.unet.enable_gradient_checkpointing()
    size, sizes = recipe.size or backbone.sizes.default[0], backbone.sizes
    if not sizes.smallest <= size <= sizes.largest or size % sizes.multiple:
        raise SettingsError(
            f"The size must be from {sizes.smallest} to {sizes.largest} and a multiple of {sizes.multiple}, not {size}."
        )
    return type(backbone)(**{**vars(backbone), "image_encoder": encoder})


def open_adapter(recipe: SdRecipe, options: SdOptions, backbone: StableDiffusion) -> MMDiffAdapter:
    """Return the adapter to start from, or a fresh one; in float32, on the base's device.

    Raises:
        CheckpointError: it is for another base.
    """
    if options.init_from is not None:
        adapter = _open_own_adapter(options.init_from)
        check_adapter_layers(adapter, backbone.unet, backbone.text_encoders, options.init_from, backbone.name)
        if (adapter.config.source == "face") != recipe.adapter.face:
            raise SettingsError(
                f'"{options.init_from}" is an adapter of the other variant (faces or not): fit the recipe.'
            )
    else:
        torch.manual_seed(recipe.seed)
        adapter = MMDiffAdapter(adapter_config(recipe, backbone))
    adapter.requires_grad_(True)
    for tower, loras in zip(adapter.config.text_towers, adapter.text_encoders, strict=True):
        if not tower.lora_active:
            loras.requires_grad_(False)  # never applied, so it cannot learn
    return adapter.to(backbone.device)


def _open_own_adapter(path: Path) -> MMDiffAdapter:
    """Return an adapter to go on training from; those of other methods are none, converted or not."""
    if not is_ip_adapter(path) and not (adapter := load_adapter(path)).config.own_image_weights:
        return adapter
    raise SettingsError(
        f'"{path}" is an IP-Adapter or MS-Diffusion, which read photos in another way than this training shows them: '
        "training cannot go on from it: leave --adapter out, or give one that train sd wrote."
    )


def adapter_config(recipe: SdRecipe, backbone: StableDiffusion) -> AdapterConfig:
    """Return the sizes of a fresh adapter for a base."""
    settings, encoder, unet = recipe.adapter, backbone.image_encoder, backbone.unet
    assert encoder is not None  # open_base provides one
    cross = cross_attention_layers(unet)
    return AdapterConfig(
        cross_attention=cross,
        text_towers=tuple(
            TextTower(tower.config.hidden_size, tower.config.num_hidden_layers, settings.text_rank)
            for tower in backbone.text_encoders
        ),
        cls_width=encoder.model.config.projection_dim,
        patch_width=encoder.model.config.hidden_size,
        self_attention=self_attention_layers(unet) if settings.self_attention_rank else (),
        rank=settings.rank,
        self_attention_rank=settings.self_attention_rank,
        tokens=settings.tokens,
        refiner_depth=settings.refiner_depth,
        refiner_head_dim=gcd(settings.refiner_head, cross[0].context),
        null_token=settings.null_token,
        source="face" if settings.face else "clip",
        patches_with_cls=settings.face,
        word_scale=float(backbone.text_encoders[0].get_input_embeddings().weight.float().std()),
    )


def make_stage(
    recipe: SdRecipe, options: SdOptions, backbone: StableDiffusion, adapter: MMDiffAdapter, state: PartialState
) -> NoisePredictionStage:
    """Return the stage with this process's share of the data. Errors as ``train_sd``."""
    records, held_out = open_data(recipe, options, backbone, state.process_index, state.num_processes)
    extra = {"recipe": recipe.name, "base": backbone.name}
    return NoisePredictionStage(
        options.folder, backbone, adapter, records, _example_maker(recipe, backbone), held_out, recipe.training,
        recipe.weights, recipe.accumulate, extra,
    )  # fmt: skip


def open_data(
    recipe: SdRecipe, options: SdOptions, backbone: StableDiffusion, rank: int, world_size: int
) -> tuple[RecordSource, list[TrainingExample]]:
    """Return the records that this process trains on, and the examples that are held out.

    Raises:
        TrainingError: there is nothing to train on.
    """
    validation = None if options.validation is None else AnnotatedFolder(options.validation, recipe.data.photos)
    records: RecordSource
    held_out: list[TrainingExample] = []
    if _is_sharded(options.data):
        records = ShardedRecords(find_shards(options.data), recipe.seed, rank, world_size)
        if validation is None:
            logger.warning("Shards without --validation FOLDER: no validation loss and no sample sheets.")
    else:
        folder = AnnotatedFolder(Path(options.data), recipe.data.photos)
        _check_subjects(recipe, folder)
        rows: Sequence[int] = range(len(folder))
        if validation is None:
            rows, kept = split_for_validation(folder, recipe.validation, recipe.max_validation)
            folder.held_out = frozenset(kept)
            held_out = _fixed_examples(recipe, backbone, folder, kept)
        records = ShuffledRecords(folder, recipe.seed, rank, world_size, rows)
    if validation is not None:
        checked = range(min(len(validation), recipe.max_validation))
        held_out = _fixed_examples(recipe, backbone, validation, checked)
    return records, held_out


def _is_sharded(data: str) -> bool:
    """Whether the data are shards; raise TrainingError if there is nothing there."""
    path = Path(data)
    if not path.is_dir():
        if data.endswith(".tar") or ":" in data or "{" in data:
            return True
        raise TrainingError(f'There is no folder "{data}": give a folder of annotated images, or shards (.tar).')
    return any(path.glob("*.tar"))


def _check_subjects(recipe: SdRecipe, folder: AnnotatedFolder) -> None:
    """Raise TrainingError if there is nothing to learn from."""
    segments = [segment for annotation in folder.annotations for segment in annotation.segments]
    if recipe.adapter.face:
        if not any(segment.face for segment in segments):
            raise TrainingError(
                f'No segment in "{folder.path}" has a face, but the recipe {recipe.name} learns from faces: annotate '
                "the images with --faces."
            )
    elif not segments:
        raise TrainingError(f'No annotation in "{folder.path}" has a segment, so there is no subject to learn from.')


def _fixed_examples(
    recipe: SdRecipe, backbone: StableDiffusion, folder: AnnotatedFolder, rows: Sequence[int]
) -> list[TrainingExample]:
    """Make examples without anything random, in the order of the rows."""
    examples = _example_maker(recipe, backbone, fixed=True)
    return [examples.make(number, folder.read(row)) for number, row in enumerate(rows)]


def _example_maker(recipe: SdRecipe, backbone: StableDiffusion, fixed: bool = False) -> ExampleMaker:
    encoder = backbone.image_encoder
    assert encoder is not None  # open_base provides one
    size = recipe.size or backbone.sizes.default[0]
    return ExampleMaker(
        size, backbone.sizes.multiple, encoder.size, recipe.data, recipe.seed, recipe.adapter.face, fixed
    )
