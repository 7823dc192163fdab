"""The report on what points best: ``pointing.json``, a Markdown page, and a figure of layers and steps to trust."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmdiff_core.atomic_files import atomic_file, write_text
from mmdiff_core.evaluation.pointing.map_choices import POINTING_KINDS, QUARTERS, MapChoice, PointingKind
from mmdiff_core.output.figures import encode_figure
from mmdiff_core.output.markdown import estimate_cell, markdown_table, settings_line
from mmdiff_core.referee.metrics import Estimate, average, best_threshold, proportion

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MEASURES = ("peak", "iou", "area")
KIND_TEXTS: Mapping[PointingKind, str] = {
    "text": "text: the word's share",
    "contrast": "contrast: that less the mean of the prompt's words",
    "image": "image: the photos' share",
    "influence": "influence: the photos' part of the output",
    "daam": "text, by DAAM's rule",
}
SHOWN_HEADS = 5
LEGEND = (
    "Peak: share of subjects whose highest value lies on them. IoU: at the single threshold that is best for all "
    "subjects and that choice of map. AUC: share of pairs of pixels, one on the subject and one beside it, in which "
    "the former is higher. In brackets: 95 % interval; scenes count as independent."
)
_QUARTER_NAMES = ("first quarter", "second", "third", "last")
_LAYERS_ABOVE = 0.25  # inches of the figure a layer takes


@dataclass(frozen=True)
class PointingScores:
    """The measures of one scene: n subjects that can be seen, M choices of map, T thresholds."""

    scene: int
    count: int  # of the scene's subjects
    peaks: np.ndarray  # (n, M) bool
    areas: np.ndarray  # (n, M)
    curves: np.ndarray  # (n, M, T)


@dataclass(frozen=True)
class ChoiceResult:
    """The measures of one choice of map over all scenes."""

    choice: MapChoice
    peak: Estimate
    iou: Estimate
    area: Estimate

    def to_json(self) -> dict[str, Any]:
        """Return the choice, without what is left open, and its measures."""
        chosen = {name: value for name, value in asdict(self.choice).items() if value not in (None, False)}
        return {**chosen, **{name: getattr(self, name).to_json() for name in MEASURES}}


def summarise_pointing(choices: Sequence[MapChoice], scores: Sequence[PointingScores]) -> tuple[ChoiceResult, ...]:
    """Return the measures of each choice."""
    clusters = [scene.scene for scene in scores for _ in scene.peaks]
    peaks, areas, curves = (
        np.concatenate([getattr(scene, name) for scene in scores]) for name in ("peaks", "areas", "curves")
    )
    results = []
    for index, choice in enumerate(choices):
        at = best_threshold(list(curves[:, index].astype(np.float32)))
        overlap = average(curves[:, index, at].tolist(), clusters)
        area = average(areas[:, index].tolist(), clusters)
        results.append(ChoiceResult(choice, proportion(peaks[:, index].tolist(), clusters), overlap, area))
    return tuple(results)


def write_pointing_report(
    choices: Sequence[MapChoice], scores: Sequence[PointingScores], folder: Path, about: Mapping[str, object]
) -> str:
    """Write the three files; return the content of ``pointing.md``."""
    results = summarise_pointing(choices, scores)
    subjects = sum(len(scene.peaks) for scene in scores)
    table = {"results": [result.to_json() for result in results], "subjects": subjects, "about": dict(about)}
    write_text(folder / "pointing.json", json.dumps(table, indent=1) + "\n")
    text = pointing_markdown(results, subjects, about)
    write_text(folder / "pointing.md", text)
    with atomic_file(folder / "pointing.png") as temp_file:
        temp_file.write_bytes(pointing_figure(results))
    return text


def pointing_markdown(results: Sequence[ChoiceResult], subjects: int, about: Mapping[str, object]) -> str:
    """Return a table over everything, then by layers, by steps, and of the best heads."""
    by_choice = {result.choice: result for result in results}
    whole = [by_choice[MapChoice(kind)] for kind in POINTING_KINDS]
    fine = [by_choice[MapChoice(kind, finest=True)] for kind in _split_kinds(results)]
    rows = [
        *([KIND_TEXTS[result.choice.kind], "all", *_cells(result)] for result in whole),
        *([KIND_TEXTS[result.choice.kind], "the finest", *_cells(result)] for result in fine),
    ]
    heads = sorted((r for r in results if r.choice.head is not None), key=lambda r: -r.area.mean)[:SHOWN_HEADS]
    best = [
        [f"{layer_name(r.choice.layer or '')}, head {(r.choice.head or 0) + 1}", r.choice.kind, *_cells(r)]
        for r in heads
    ]
    return "\n".join(
        [
            markdown_table(["map", "layers", "peak", "IoU", "AUC"], rows),
            "",
            "AUC by layer:",
            "",
            _area_table(results, layers_of(results), lambda kind, layer: MapChoice(kind, layer), layer_name),
            "",
            "AUC by step:",
            "",
            _area_table(
                results, range(QUARTERS), lambda kind, q: MapChoice(kind, quarter=q), _QUARTER_NAMES.__getitem__
            ),
            "",
            "The heads that point best:",
            "",
            markdown_table(["head", "map", "peak", "IoU", "AUC"], best),
            "",
            f"{subjects} subjects. {LEGEND}",
            "",
            f"{settings_line(about)}.",
            "",
        ]
    )


def pointing_figure(results: Sequence[ChoiceResult]) -> bytes:
    """Draw the AUC of each kind by layer and quarter of the steps, one scale for all; return a PNG."""
    from matplotlib.figure import Figure

    by_choice = {result.choice: result.area.mean for result in results}
    kinds, layers = _split_kinds(results), [*layers_of(results), None]
    values = {
        kind: np.array([[by_choice[MapChoice(kind, layer, q)] for q in range(QUARTERS)] for layer in layers])
        for kind in kinds
    }
    low = min(float(each.min()) for each in values.values())
    figure = Figure(figsize=(2.1 * len(kinds) + 1.6, _LAYERS_ABOVE * len(layers) + 1.1), layout="constrained")
    axes = figure.subplots(1, len(kinds), squeeze=False, sharey=True)[0]
    for axis, kind in zip(axes, kinds, strict=True):
        drawn = _draw_areas(axis, values[kind], low)
        axis.set_title(kind, fontsize=9)
    axes[0].set_yticks(range(len(layers)), [layer_name(layer) if layer else "all layers" for layer in layers])
    figure.colorbar(drawn, ax=list(axes), fraction=0.03, pad=0.02).set_label("AUC", fontsize=8)
    figure.supxlabel("quarter of the steps, from noise to image", fontsize=8)
    return encode_figure(figure, "png")


def layers_of(results: Iterable[ChoiceResult]) -> list[str]:
    """Return the paths of the layers in the order in which the network runs them."""
    found = dict.fromkeys(result.choice.layer for result in results if result.choice.layer is not None)
    return sorted(found, key=lambda path: [path.startswith(side) for side in ("up", "mid", "down")])


def layer_name(path: str) -> str:
    """Return a layer's place in a few characters: ``up_blocks.1.attentions.0...`` is "up 1.0"."""
    block, _, rest = path.partition(".attentions.")
    where = block.replace("_blocks.", " ").replace("_block", "")
    inner = [part for part in rest.split(".") if part.isdigit()]
    return ".".join([where, *inner[:1]]) if "." not in where and where[-1].isdigit() else " ".join([where, *inner[:1]])


def _split_kinds(results: Iterable[ChoiceResult]) -> list[PointingKind]:
    """Return the kinds that are measured by layer."""
    return list(dict.fromkeys(result.choice.kind for result in results if result.choice.layer is not None))


def _cells(result: ChoiceResult) -> list[str]:
    return [estimate_cell(getattr(result, name).to_json()) for name in MEASURES]


def _area_table(results: Sequence[ChoiceResult], rows: Iterable[Any], choose: Any, name: Any) -> str:
    """Return a table with a column for each kind of map."""
    by_choice, kinds = {result.choice: result.area.mean for result in results}, _split_kinds(results)
    cells = [[name(row), *(f"{by_choice[choose(kind, row)]:.3f}" for kind in kinds)] for row in rows]
    return markdown_table(["", *kinds], cells)


def _draw_areas(axis: Axes, values: np.ndarray, low: float) -> Any:
    """Draw a table of values (layers, quarters) with its numbers."""
    drawn = axis.imshow(values, cmap="viridis", vmin=low, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        colour = "black" if value > (low + 1) / 2 else "white"
        axis.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)
    axis.set_xticks(range(values.shape[1]), [str(quarter + 1) for quarter in range(values.shape[1])])
    axis.tick_params(labelsize=7, length=0)
    return drawn
