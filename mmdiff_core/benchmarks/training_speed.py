"""The speed of training the built-in model: each stage as the recipe trains it, a plain loop, and the matrix rate.

The plain loop is what one would write first: autocast where it is faster, AdamW, and attention maps beside a kernel
that computes them once more.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from PIL import Image
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmdiff_core.backbones.toybox import FOLDER, Toybox, load_toybox
from mmdiff_core.benchmarks.timing import Clock, Method, alternate, ratio, timed
from mmdiff_core.encoders.prompt import find_words, tokenize
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.nn.records import ImageFeatures, PromptTokens
from mmdiff_core.training.optimizer import BETAS, hidden_weights
from mmdiff_core.training.precision import attention_kernels, mixed_precision
from mmdiff_core.training.stage import StageSettings, TrainerOptions
from mmdiff_core.training.toybox.autoencoder import WHOLE, Crops, ReconstructionLoss
from mmdiff_core.training.toybox.contrastive import ContrastiveLoss, PhotoPairs
from mmdiff_core.training.toybox.flow_matching import FlowMatchingBatch, FlowMatchingLoss
from mmdiff_core.training.toybox.recipes import RECIPES, Recipe
from mmdiff_core.training.trainer import Trainer

STAGES = ("autoencoder", WHOLE, "encoders", "joint")
PLAIN_BATCH = 24  # of the joint stage, where larger ones gain nothing in a plain loop
QUICK_BATCH = 2
PROMPT, NAMES = "a cat next to a robot on the beach", ["cat", "robot"]
MATRIX_SIDE = 1024


@dataclass
class TimedStage:
    """A stage with one batch, for the trainer."""

    name: str
    settings: StageSettings
    network: nn.Module
    made: Any
    hidden: Sequence[nn.Parameter]

    def trained(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.network.parameters() if parameter.requires_grad]

    def hidden_weights(self) -> Sequence[nn.Parameter]:
        return self.hidden

    def batch(self) -> Any:
        return self.made

    def sheet(self) -> Image.Image:
        return Image.new("RGB", (1, 1))

    def finish(self) -> Mapping[str, float]:
        return {}


def training_speed(
    rounds: int, device: torch.device, clock: Clock, quick: bool = False, model: Path = FOLDER
) -> dict[str, dict[str, Any]]:
    """Return the samples per second of each stage, by the recipe ``cpu`` and by a plain loop, with random batches.

    Args:
        rounds: how often each step is timed.
        device: where to train.
        clock: what counts.
        quick: with batches of two.
        model: a folder whose networks are trained, on a copy in memory.

    Returns:
        By stage: ``samples_per_s`` and ``plain_samples_per_s``, the median ``ratio`` of the two with its interval, and
        ``matrix_share``, the operations per second as a share of what large matrix products reach.
    """
    half = mixed_precision(device.type) == "bf16"
    rate = matrix_rate(torch.bfloat16 if half else torch.float32, device, clock)
    return {name: _stage_speed(name, rounds, device, clock, quick, model, rate) for name in STAGES}


def matrix_rate(dtype: torch.dtype, device: torch.device, clock: Clock, repeats: int = 5) -> float:
    """Return the operations per second of large matrix products, the practical peak."""
    side = MATRIX_SIDE if device.type == "cpu" else 8 * MATRIX_SIDE
    a = torch.ones(side, side, dtype=dtype, device=device)
    seconds = [timed(lambda: a @ a, device, clock) for _ in range(repeats + 1)]
    return 2 * side**3 / min(seconds[1:])


def _stage_speed(
    name: str, rounds: int, device: torch.device, clock: Clock, quick: bool, model: Path, rate: float
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        stage, plain = (make_stage(name, model, device, quick, plain=plain) for plain in (False, True))
        options = TrainerOptions(half_weights=True)
        trainer = Trainer(stage, Path(folder), str(device), sheet_every=10**9, options=options)

        def ours() -> None:
            with attention_kernels(device):
                trainer.train_step([stage.batch()])

        operations = count_operations(ours)
        steps = {"ours": ours, "plain": plain_step(plain, device)}
        methods = {way: Method(_prepare_nothing, step) for way, step in steps.items()}
        seconds = alternate(methods, rounds, device, clock)
    sizes = {"ours": stage.settings.batch, "plain": plain.settings.batch}
    per_sample = {way: [s / sizes[way] for s in seconds[way]] for way in sizes}
    return {
        "samples_per_s": [1 / s for s in per_sample["ours"]],
        "plain_samples_per_s": [1 / s for s in per_sample["plain"]],
        "ratio": ratio(per_sample["plain"], per_sample["ours"]).to_json(),
        "matrix_share": operations / statistics.median(seconds["ours"]) / rate,
    }


def count_operations(step: Callable[[], object]) -> float:
    """Return the floating-point operations of the matrix products and convolutions of a call."""
    with FlopCounterMode(display=False) as counter:
        step()
    return float(counter.get_total_flops())


def plain_step(stage: TimedStage, device: torch.device) -> Callable[[], None]:
    """Return a step of the plain loop."""
    parameters, settings = stage.trained(), stage.settings
    fused = device.type != "mps"
    optimizer = torch.optim.AdamW(parameters, settings.lr, betas=BETAS, weight_decay=settings.weight_decay, fused=fused)
    ema = EMAModel(parameters, decay=settings.ema, foreach=True)
    half = mixed_precision(device.type) == "bf16"

    def step() -> None:
        kernels = sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()
        with kernels, torch.autocast(device.type, torch.bfloat16, enabled=half):
            terms = stage.network(stage.made)
        sum(terms.values(), torch.zeros((), device=device)).backward()
        torch.nn.utils.clip_grad_norm_(parameters, settings.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        ema.step(parameters)

    return step


# ---------------------------------------------------------------- stages with random batches


def make_stage(name: str, model: Path, device: torch.device, quick: bool, plain: bool) -> TimedStage:
    """Return a stage of the recipe ``cpu`` on the networks of a model folder."""
    recipe = RECIPES["cpu"]
    settings = recipe.stages[name]
    if plain and name == "joint":
        settings = replace(settings, batch=PLAIN_BATCH)
    if quick:
        settings = replace(settings, batch=QUICK_BATCH)
    backbone, adapter = load_toybox(model, device)
    make = {"encoders": _encoders, "joint": _joint}.get(name, _autoencoder)
    network, batch, hidden = make(name, backbone, adapter, recipe, settings, plain)
    network.train().requires_grad_(True)
    return TimedStage(name, settings, network, batch, hidden)


def _autoencoder(
    name: str, backbone: Toybox, _adapter: MMDiffAdapter, recipe: Recipe, settings: StageSettings, _plain: bool
) -> tuple[nn.Module, Crops, Sequence[nn.Parameter]]:
    side = min(settings.crop or backbone.sizes.default[0], backbone.sizes.default[0])
    both = torch.rand(settings.batch, 4, side, side, device=backbone.device)
    crops = Crops(both[:, :3], both[:, 3:])
    return ReconstructionLoss(backbone.vae, recipe.losses, name == WHOLE), crops, hidden_weights(backbone.vae)


def _encoders(
    _name: str, backbone: Toybox, _adapter: MMDiffAdapter, _recipe: Recipe, settings: StageSettings, _plain: bool
) -> tuple[nn.Module, PhotoPairs, Sequence[nn.Parameter]]:
    encoder = backbone.image_encoder
    assert encoder is not None  # the built-in model has one
    loss = ContrastiveLoss(backbone.text_encoders[0], encoder, encoder.model.config.projection_dim)
    photos = torch.rand(2, settings.batch, 3, encoder.size, encoder.size, device=backbone.device)
    tokens = tokenize(backbone.tokenizers[0], *find_words(PROMPT, NAMES))
    return loss.to(backbone.device), PhotoPairs(photos[0], photos[1], _repeated(tokens, settings.batch)), ()


def _joint(
    _name: str, backbone: Toybox, adapter: MMDiffAdapter, recipe: Recipe, settings: StageSettings, plain: bool
) -> tuple[nn.Module, FlowMatchingBatch, Sequence[nn.Parameter]]:
    unet = backbone.unet.to(memory_format=torch.channels_last)
    loss = FlowMatchingLoss(backbone, adapter, recipe.losses, photos=True, shared_scores=not plain)
    batch, hidden = _joint_batch(backbone, settings.batch, cached=not plain), ()
    return loss, batch, hidden if plain else hidden_weights(loss, apart=(unet.conv_in, unet.conv_out))


def _joint_batch(backbone: Toybox, rows: int, cached: bool) -> FlowMatchingBatch:
    """Return a batch of two subjects with one photo each; ``cached``: the photos' features instead of their pixels."""
    encoder, device = backbone.image_encoder, backbone.device
    assert encoder is not None  # the built-in model has one
    latents = torch.cat([backbone.noise(seed, *backbone.sizes.default) for seed in range(rows)])
    pixels = torch.rand(rows, 2, 1, 3, encoder.size, encoder.size, device=device)
    photos, features = torch.ones(rows, 2, 1, dtype=torch.bool, device=device), None
    if cached:
        with torch.no_grad():
            cls, patches = (x.unflatten(0, (rows, 2, 1)) for x in encoder.encode(pixels.flatten(0, 2)))
        features = ImageFeatures(cls, patches, photos)
    return FlowMatchingBatch(
        latents=latents.to(memory_format=torch.channels_last),
        masks=torch.rand(rows, 2, *latents.shape[-2:], device=device),
        tokens=_repeated(tokenize(backbone.tokenizers[0], *find_words(PROMPT, NAMES)), rows),
        photos=photos,
        references=None if cached else pixels,
        features=features,
    )


def _repeated(tokens: PromptTokens, rows: int) -> PromptTokens:
    return PromptTokens(tokens.ids.expand(rows, -1), tokens.words.expand(rows, -1))


def _prepare_nothing() -> None:
    """Do nothing."""
