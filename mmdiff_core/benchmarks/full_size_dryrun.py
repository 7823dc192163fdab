"""A dry run of a full-size model with random weights: whether it fits, and how large the recorded maps are."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from mmdiff_core.backbones.loading import native_sizes
from mmdiff_core.backbones.placement import Placement
from mmdiff_core.backbones.preview import LatentPreview
from mmdiff_core.backbones.processors import install
from mmdiff_core.benchmarks.full_size_models import ModelShape, build_adapter, build_pipeline
from mmdiff_core.encoders.image import ImageEncoder
from mmdiff_core.generation.sampling import sample
from mmdiff_core.maps.attention_maps import AttentionMaps, Recorder
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.types import GenerateRequest, Recording, Subject

MEGABYTE = 10**6
NAMES = ("cat", "dog", "robot", "bear")
USUAL_STEPS = 30


@dataclass(frozen=True)
class DryRunOptions:
    """Options of a dry run."""

    steps: int = 2
    subjects: int = 2
    guidance: float = 5.0
    width: int | None = None  # None: the native size
    height: int | None = None
    dtype: torch.dtype = torch.float32
    device: str = "cpu"


@dataclass(frozen=True)
class DryRunResult:
    """What was measured; memory in bytes, times in seconds."""

    size: tuple[int, int]  # (width, height)
    dtype: str
    weights: Mapping[str, int]  # of each part
    peak: int  # of the whole process, or of the GPU
    maps: int  # after the steps
    maps_usual: int  # of an image of ``USUAL_STEPS`` steps
    records: int  # layers times steps
    seconds: Mapping[str, float]
    finite: bool  # whether all latents are

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self)


def dry_run(shape: ModelShape, options: DryRunOptions, **sizes: Any) -> DryRunResult:
    """Build a model with random weights, attach an adapter, and take a few steps with every map recorded.

    Args:
        shape: of the model.
        options: of the run.
        sizes: fields of the adapter's ``AdapterConfig``, by default those of a full-size one.
    """
    clock = _Clock()
    personalizer = build_personalizer(shape, options, **sizes)
    clock.lap("build")
    request = _request(personalizer, options)
    conditions = personalizer.conditions(request)
    clock.lap("encode")
    maps = AttentionMaps(conditions.plan.names)
    numbers = conditions.plan.numbers
    *_, last = sample(
        personalizer.backbone, conditions.plain, conditions.personal, numbers, Recorder(request.recording), maps
    )
    clock.lap("steps")
    assert last.maps is not None
    return DryRunResult(
        size=(numbers.width, numbers.height),
        dtype=str(options.dtype).removeprefix("torch."),
        weights=_weights(personalizer),
        peak=peak_memory(options.device),
        maps=last.maps.nbytes,
        maps_usual=last.maps.nbytes // options.steps * USUAL_STEPS,
        records=len(last.maps.records),
        seconds=clock.laps,
        finite=bool(torch.isfinite(last.latents).all()),
    )


def build_personalizer(shape: ModelShape, options: DryRunOptions, **sizes: Any) -> Personalizer:
    """Return the model with a random adapter, on its device."""
    pipe = build_pipeline(shape, options.dtype)
    install(pipe.unet)
    adapter = build_adapter(pipe, shape, options.dtype, **sizes).to(options.device)
    encoder = ImageEncoder(pipe.image_encoder)
    modules = [part for part in (*pipe.components.values(), encoder) if isinstance(part, nn.Module)]
    backbone = shape.kind(
        name="dry run",
        image_encoder=encoder,
        defaults=shape.kind.stock_defaults,
        placement=Placement.of(modules, torch.device(options.device), "none"),
        latent_preview=LatentPreview(torch.full((4, 3), 0.1), torch.full((3,), 0.5)),
        **shape.kind.fields_from(pipe),
    )
    return Personalizer(replace(backbone, sizes=native_sizes(pipe)), adapter)


def _request(personalizer: Personalizer, options: DryRunOptions) -> GenerateRequest:
    names = NAMES[: options.subjects]
    photo = Image.linear_gradient("L").convert("RGB")
    return GenerateRequest(
        "a " + " and a ".join(names),
        tuple(Subject(name, (photo,)) for name in names),
        steps=options.steps,
        guidance=options.guidance,
        width=options.width,
        height=options.height,
        recording=Recording(),
    )


def _weights(personalizer: Personalizer) -> dict[str, int]:
    """Return the bytes of each part. ``merged`` are the frozen attention weights with their LoRAs added."""
    backbone, adapter = personalizer.backbone, personalizer.adapter
    assert adapter is not None
    parts: dict[str, nn.Module | None] = {
        "unet": backbone.unet,
        **{f"text encoder {n}": encoder for n, encoder in enumerate(backbone.text_encoders, 1)},
        "image encoder": backbone.image_encoder,
        "autoencoder": backbone.vae,
        "adapter": adapter,
    }
    sizes = {name: _bytes(list(part.parameters())) for name, part in parts.items() if part is not None}
    merged = [value for layer in personalizer.weights.current().values() for value in vars(layer).values()]
    return sizes | {"merged": _bytes([value for value in merged if isinstance(value, Tensor)])}


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(x.numel() * x.element_size() for x in tensors)


def peak_memory(device: str) -> int:
    """Return the peak memory of this process, or of the GPU, in bytes."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


class _Clock:
    """Times the parts of a run."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name], self._last = round(now - self._last, 1), now


def describe_dry_run(result: DryRunResult) -> str:
    """Return the result as text."""
    weights = ", ".join(f"{name} {size / MEGABYTE:,.0f}" for name, size in result.weights.items())
    seconds = ", ".join(f"{name} {spent:g} s" for name, spent in result.seconds.items())
    return (
        f"size             {result.size[0]} x {result.size[1]}, {result.dtype}\n"
        f"weights in MB    {weights}\n"
        f"peak memory      {result.peak / MEGABYTE:,.0f} MB\n"
        f"maps             {result.maps / MEGABYTE:.2f} MB in {result.records} records; "
        f"{result.maps_usual / MEGABYTE:.1f} MB for {USUAL_STEPS} steps\n"
        f"time             {seconds}\n"
        f"latents          {'finite' if result.finite else 'NOT FINITE'}\n"
    )
