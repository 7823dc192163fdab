"""What an ablation compares: the whole method, variants with one change each, and two baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from mmdiff_core.errors import SettingsError
from mmdiff_core.maps.constraints import LayerChoice
from mmdiff_core.nn.config import AdapterConfig
from mmdiff_core.training.toybox.recipes import LossWeights
from mmdiff_core.types import MapKind

Architecture = Literal["mmdiff", "ip-adapter-plus"]
Group = Literal["method", "component", "constraint", "tokens", "rank", "baseline"]
FULL = "full"

# The whole method, whatever adapter the base model has. The LoRA rank is that adapter's.
WHOLE: Mapping[str, Any] = MappingProxyType(
    {
        "word_fusion": True,
        "image_branch": True,
        "null_token": True,
        "tokens": 4,
        "refiner_depth": 4,
        "fuse_after": False,
        "start_step": 0,
    }
)


@dataclass(frozen=True)
class AdapterVariant:
    """One row of the table: what differs from the whole method.

    ``config`` changes ``AdapterConfig``, ``losses`` changes ``LossWeights``; ``layers`` are the constrained ones.
    """

    name: str
    group: Group
    title: str
    config: Mapping[str, Any] = field(default_factory=dict)
    losses: Mapping[str, float] = field(default_factory=dict)
    layers: LayerChoice = "all"
    architecture: Architecture = "mmdiff"

    @property
    def map_kind(self) -> MapKind:
        """Return the kind of heatmap that shows its subjects: without an image term that of the words."""
        return "image" if self.config.get("image_branch", True) else "text"

    def configure(self, like: AdapterConfig) -> AdapterConfig:
        """Return its adapter's configuration, in the sizes of the base model's own."""
        return replace(like, **{**WHOLE, **self.config})

    def weigh(self, losses: LossWeights) -> LossWeights:
        """Return its loss weights."""
        return replace(losses, **self.losses)

    def to_json(self) -> dict[str, Any]:
        """Return all fields under the keys of the report."""
        return {"kind" if name == "architecture" else name: value for name, value in asdict(self).items()}


def _both(weight: float) -> dict[str, float]:
    return {"text_constraint": weight, "image_constraint": weight}


_TEXT_CONSTRAINT = {"image_constraint": 0.0}
_WORDS_ALONE = {"image_branch": False, "null_token": False}
# FastComposer fuses photos and words behind the text encoder, whose states have unit variance, and shows the photos
# late: after a fifth of the steps. Its localisation loss is our text constraint.
_FASTCOMPOSER = {**_WORDS_ALONE, "fuse_after": True, "word_scale": 1.0, "start_step": 4}
_IP_ADAPTER = {"word_fusion": False, "null_token": False, "tokens": 16, "refiner_depth": 0}

VARIANTS: Mapping[str, AdapterVariant] = MappingProxyType(
    {
        variant.name: variant
        for variant in (
            # name, group, title, changes of AdapterConfig, changes of LossWeights, constrained layers, architecture
            AdapterVariant(FULL, "method", "the whole method"),
            AdapterVariant("no-vision-text", "component", "no vision-augmented text", {"word_fusion": False}),
            AdapterVariant("no-refiner", "component", "no SE-Refiner (CLS tokens only)", {"refiner_depth": 0}),
            AdapterVariant("no-image-branch", "component", "no image branch", _WORDS_ALONE, _TEXT_CONSTRAINT),
            AdapterVariant("no-null-token", "component", "no null token", {"null_token": False}),
            AdapterVariant("no-constraints", "component", "no constraints", {}, _both(0.0)),
            AdapterVariant("text-constraint", "constraint", "text constraint only", {}, _TEXT_CONSTRAINT),
            AdapterVariant("image-constraint", "constraint", "image constraint only", {}, {"text_constraint": 0.0}),
            AdapterVariant("constraints-0.003", "constraint", "constraints at 0.003", {}, _both(0.003)),
            AdapterVariant("constraints-0.03", "constraint", "constraints at 0.03", {}, _both(0.03)),
            AdapterVariant("constraints-0.3", "constraint", "constraints at 0.3", {}, _both(0.3)),
            AdapterVariant("constraints-fine", "constraint", "constraints on the finest layers", {}, {}, "fine"),
            AdapterVariant("constraints-coarse", "constraint", "constraints on the coarser layers", {}, {}, "coarse"),
            AdapterVariant("tokens-1", "tokens", "1 token per photo", {"tokens": 1}),
            AdapterVariant("tokens-16", "tokens", "16 tokens per photo", {"tokens": 16}),
            AdapterVariant("rank-4", "rank", "LoRA rank 4", {"rank": 4}),
            AdapterVariant("rank-64", "rank", "LoRA rank 64", {"rank": 64}),
            AdapterVariant(
                "ip-adapter-plus",
                "baseline",
                "IP-Adapter-Plus",
                _IP_ADAPTER,
                _both(0.0),
                architecture="ip-adapter-plus",
            ),
            AdapterVariant(
                "fastcomposer", "baseline", "FastComposer's recipe", _FASTCOMPOSER, {"image_constraint": 0.0}
            ),
        )
    }
)


def choose_variants(names: Sequence[str]) -> tuple[AdapterVariant, ...]:
    """Return the variants of these names, all if empty; the whole method, which all are compared with, comes first.

    Raises:
        SettingsError: there is no such variant.
    """
    if unknown := [name for name in names if name not in VARIANTS]:
        raise SettingsError(f"There is no variant {', '.join(unknown)}. Choose among {', '.join(VARIANTS)}.")
    chosen = names or VARIANTS
    return tuple(variant for variant in VARIANTS.values() if variant.name == FULL or variant.name in chosen)
