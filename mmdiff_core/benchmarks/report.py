"""``speed.json``, a Markdown table and a chart of a benchmark."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmdiff_core.benchmarks.timing import Clock, ratio
from mmdiff_core.output.markdown import markdown_table

SHOWN = ("stock", "ours", "ours_recorded", "ours_unmerged", "ip_adapter_plus", "daam_style")  # always in speed.json
ALSO = ("ours_recorded_apart", "ours_uncached", "ours_one", "ours_four", "word_recorded", "tokens_recorded")
TITLES = {
    "stock": "stock pipeline",
    "ours": "ours, two subjects",
    "ours_recorded": "ours, recorded",
    "ours_recorded_apart": "ours, recorded, heads apart",
    "ours_unmerged": "ours, LoRA unmerged",
    "ours_uncached": "ours, K and V every step",
    "ours_one": "ours, one subject",
    "ours_four": "ours, four subjects",
    "ip_adapter_plus": "IP-Adapter-Plus (diffusers)",
    "daam_style": "stock, recorded as DAAM does",
    "word_recorded": "stock, one word recorded",
    "tokens_recorded": "stock, every token recorded",
}
UNITS = {
    "first_preview_s": "first preview, s",
    "picture_s": "an image at the app's defaults, s",
    "peak_memory_mb": "peak memory, MB",
    "startup_s": "start-up to the first page, warm, s",
    "adapter_load_s": "adapter load, s",
    "rendered_per_s": "rendered images per second",
}


def summary(samples: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Return the part of ``speed.json`` on a model: median ratios to the stock step, intervals, and seconds."""
    ratios = {name: ratio(seconds, samples["stock"]) for name, seconds in samples.items()}
    return {
        **{name: ratios[name].median for name in SHOWN},
        "more": {name: ratios[name].median for name in ALSO if name in ratios},
        "intervals": {name: [r.low, r.high] for name, r in ratios.items()},
        "samples": {name: list(seconds) for name, seconds in samples.items()},
    }


def describe_machine(device: torch.device, clock: Clock) -> dict[str, Any]:
    """Describe the machine."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()
    return {
        "device": name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "clock": "wall" if clock == "wall" else "processor time of the process",
    }


def processor_name() -> str:
    """Return the processor's name, as far as the system knows it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    named = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return f"{named or platform.processor() or platform.machine()}, {os.cpu_count()} logical cores"


def write_benchmark(
    folder: Path, steps: Mapping[str, Any], titles: Mapping[str, str], about: Mapping[str, Any]
) -> list[Path]:
    """Write all files and return them.

    Args:
        folder: for the files.
        steps: a :func:`summary` per model.
        titles: of the models.
        about: the machine and the other figures.
    """
    files = [folder / name for name in ("speed.json", "about.json", "speed.md")]
    files[0].write_text(json.dumps(steps, indent=2) + "\n", encoding="utf-8")
    files[1].write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    files[2].write_text(speed_markdown(steps, titles, about), encoding="utf-8")
    if steps:
        files.append(folder / "speed.png")
        draw_chart(steps, files[-1], about["machine"]["device"])
    return files


def speed_markdown(steps: Mapping[str, Any], titles: Mapping[str, str], about: Mapping[str, Any]) -> str:
    """Return a table of ratios and one of the other measurements."""
    parts = [f"Ratios to the stock step, medians (95 % interval). {_machine_line(about['machine'])}"]
    if steps:
        seconds = (f"{np.median(model['samples']['stock']):.3g} s" for model in steps.values())
        rows = [[title, *(_ratio(model, name) for model in steps.values())] for name, title in TITLES.items()]
        parts.append(markdown_table(["step", *steps], [*rows, ["the stock step itself", *seconds]]))
        parts.append("\n".join(f"* {name}: {titles[name]}" for name in steps))
    measured = {key: about["figures"][key] for key in UNITS if about["figures"].get(key)}
    if measured:
        rows = [
            [UNITS[key], *(f"{value:.3g}" for value in (np.median(values), min(values), max(values)))]
            for key, values in measured.items()
        ]
        parts.append(markdown_table(["built-in model", "median", "lowest", "highest"], rows))
    training = about["figures"].get("training")
    if training:
        head = ["training", "samples per second", "plain loop", "ratio (95 % interval)", "share of the matrix rate"]
        parts.append(markdown_table(head, [_training_row(name, speed) for name, speed in training.items()]))
    return "\n\n".join(parts) + "\n"


def draw_chart(steps: Mapping[str, Any], path: Path, device: str) -> None:
    """Draw the ratios and their intervals, a row per method and a colour per model."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [name for name in TITLES if name != "stock"]
    figure = Figure(figsize=(7.5, 1 + 0.42 * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for number, (title, model) in enumerate(steps.items()):
        rows = np.arange(len(names)) + (number - (len(steps) - 1) / 2) * 0.6 / len(steps)
        medians = np.array([_median(model, name) for name in names])
        reach = np.abs(np.array([model["intervals"][name] for name in names]).T - medians)
        axes.errorbar(medians, rows, xerr=reach, fmt="o", markersize=5, elinewidth=1.2, label=title)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(names)), [TITLES[name] for name in names])
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("a step over the stock pipeline's, median and 95 % interval")
    axes.set_title(device, fontsize=9)
    axes.legend()
    figure.savefig(path, dpi=150)


def _median(model: Mapping[str, Any], name: str) -> float:
    return model[name] if name in model else model["more"][name]


def _ratio(model: Mapping[str, Any], name: str) -> str:
    low, high = model["intervals"][name]
    return "1" if name == "stock" else f"{_median(model, name):.3f} ({low:.3f} to {high:.3f})"


def _machine_line(about: Mapping[str, Any]) -> str:
    return f"{about['device']}, {about['threads']} thread(s), torch {about['torch']}, {about['clock']}."


def _training_row(name: str, speed: Mapping[str, Any]) -> list[str]:
    ours, plain = (np.median(speed[key]) for key in ("samples_per_s", "plain_samples_per_s"))
    over = speed["ratio"]
    interval = f"{over['median']:.2f} ({over['low']:.2f} to {over['high']:.2f})"
    return [name, f"{ours:.3g}", f"{plain:.3g}", interval, f"{100 * speed['matrix_share']:.0f} %"]
