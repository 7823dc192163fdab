"""How much memory the maps of a prompt's tokens take at full size; counted, as nothing has to be computed for it."""

from __future__ import annotations

from dataclasses import dataclass

from accelerate import init_empty_weights
from diffusers import UNet2DConditionModel

from mmdiff_core.backbones.processors import cross_attention_layers, layer_sizes
from mmdiff_core.benchmarks.full_size_models import MODEL_SHAPES
from mmdiff_core.inspection.memory_budget import DEFAULT_BUDGET, Reduction, bytes_kept, fit_budget, read_bytes
from mmdiff_core.output.markdown import markdown_table

MEGABYTE = 10**6
STEPS = 30
TOKENS = 77
RECORDED = {
    "one word and the rest": (2, False),
    "all tokens": (TOKENS, False),
    "all tokens, heads apart": (TOKENS, True),
}


@dataclass(frozen=True)
class MapMemory:
    """The memory that the maps of one image take."""

    model: str
    side: int  # pixels of the image
    recorded: str
    full: int  # bytes, of every step and layer
    kept: int  # bytes within the budget
    dropped: str  # a sentence; empty if all is kept


def count_map_memory(budget: str = DEFAULT_BUDGET) -> list[MapMemory]:
    """Return the memory for images of 512 and of 1024 pixels, each for several things to record."""
    found = []
    for model, side in (("sd15", 512), ("sdxl", 1024)):
        with init_empty_weights():
            unet = UNet2DConditionModel(**MODEL_SHAPES[model].unet)
        sizes = layer_sizes(unet, side // 8, side // 8)
        heads = {layer.path: layer.heads for layer in cross_attention_layers(unet)}
        for recorded, (rows, apart) in RECORDED.items():
            layers = [(sizes[path], rows * (count if apart else 1)) for path, count in heads.items()]
            reduction = fit_budget(layers, STEPS, read_bytes(budget))
            full, kept = bytes_kept(layers, STEPS, Reduction()), bytes_kept(layers, STEPS, reduction)
            dropped = reduction.describe([size for size, _ in layers], STEPS)
            found.append(MapMemory(model, side, recorded, full, kept, dropped))
    return found


def memory_markdown(found: list[MapMemory]) -> str:
    """Return a table."""
    rows = [
        [f"{one.model}, {one.side} px", one.recorded, f"{one.full / MEGABYTE:.0f} MB", f"{one.kept / MEGABYTE:.0f} MB",
         one.dropped or "nothing"]
        for one in found
    ]  # fmt: skip
    head = [f"maps of {STEPS} steps", "recorded", "in full", f"within {DEFAULT_BUDGET}", "dropped"]
    return markdown_table(head, rows)
