"""Does binding keep two subjects apart? The Toybox suite's prompts with two subjects, at several bindings.

What it is for: weights that were trained without the attention constraints, which let one subject's looks run into the
other's. The same prompts, photos and seeds are carried out at every binding, so that nothing else differs.

REPORT/
    binding.json, binding.md   the figures
    rows-BINDING.jsonl         what was measured of every picture; a later start goes on behind its last prompt
    settings.json              of what they are
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mmdiff_core.backbones.toybox import FOLDER, load_toybox
from mmdiff_core.encoders.photo_cache import PhotoCache
from mmdiff_core.errors import SettingsError
from mmdiff_core.evaluation.toybox.run import fingerprint
from mmdiff_core.evaluation.toybox.suite import FIRST_SEED, MODEL, SEEDS, ToyboxScores, ToyboxSuite, draw_toybox_cases
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.referee.metrics import Estimate, proportion
from mmdiff_core.referee.network import FILE, load_referee
from mmdiff_core.results import Step
from mmdiff_core.types import GenerateRequest

WORD_GATINGS = (0.0, 0.5, 0.8, 1.0)
PROMPTS = 200
MEASURES = {
    "swapped": "attributes swapped between the subjects",
    "identity": "the right toy among 16",
    "present": "both named subjects present",
    "peak": "heatmap peak inside its own subject",
}


@dataclass(frozen=True)
class LeakageOptions:
    """What to measure, and how much of it."""

    folder: Path
    model: Path = FOLDER
    referee: Path = FILE
    prompts: int = PROMPTS
    seeds: tuple[int, ...] = SEEDS
    seed: int = FIRST_SEED
    bindings: tuple[float, ...] = WORD_GATINGS
    device: str = "cpu"
    adapter: Path | None = None  # instead of the model's own


class WordGatedPersonalizer(Personalizer):
    """A model whose requests all have one binding."""

    def __init__(self, personalizer: Personalizer, binding: float) -> None:
        super().__init__(personalizer.backbone, personalizer.adapter)
        self.binding = binding

    def generate(self, request: GenerateRequest, photos: PhotoCache | None = None) -> Iterator[Step]:
        """As ``Personalizer.generate``."""
        return super().generate(replace(request, word_gating=self.binding), photos)


def measure_leakage(options: LeakageOptions) -> dict[str, Any]:
    """Run what is still to be done and write the report; returns what ``binding.json`` holds.

    Raises:
        SettingsError: a number is out of range, or the folder holds another comparison.
        ModelError, CheckpointError: the model or the referee is missing or broken.
    """
    _check(options)
    backbone, adapter = load_toybox(options.model, options.device, options.adapter)
    referee = load_referee(options.referee, options.device)
    referee.config.check_knows(backbone.vocabulary)
    about = _begin(options)
    personalizer = Personalizer(backbone, adapter)
    cases = draw_toybox_cases(backbone.vocabulary, {2: options.prompts}, options.seed)
    for binding in options.bindings:
        suite = ToyboxSuite(
            WordGatedPersonalizer(personalizer, binding), referee, options.seeds, options.seed, bounds=False
        )
        done = {row.number for row in _rows(options, binding)}
        for case in tqdm([case for case in cases if case.number not in done], desc=f"binding {binding:g}"):
            rows = [asdict(shown.row) for shown in suite.outcome(case).shown if shown.row.kind == MODEL]
            with _file(options, binding).open("a") as file:
                file.write(json.dumps(rows) + "\n")
    table = {f"{b:g}": summarise_leakage(_rows(options, b)) for b in options.bindings} | {"about": about}
    (options.folder / "binding.json").write_text(json.dumps(table, indent=2) + "\n")
    (options.folder / "binding.md").write_text(leakage_markdown(table))
    return table


def summarise_leakage(rows: Sequence[ToyboxScores]) -> dict[str, Any]:
    """Share of hits of each measure with its 95 % interval; pictures of one prompt are not independent."""
    table = {}
    for name in MEASURES:
        pairs = [(hit, row.number) for row in rows for hit in _hits(getattr(row, name))]
        found: Estimate = proportion([hit for hit, _ in pairs], [number for _, number in pairs])
        table[name] = found.to_json() if pairs else None
    return table


def leakage_markdown(table: Mapping[str, Any]) -> str:
    """A row for each measure, a column for each binding."""
    bindings = [key for key in table if key != "about"]
    lines = [f"| measure, by the referee | {' | '.join(f'binding {key}' for key in bindings)} |"]
    lines.append(f"|---|{'---|' * len(bindings)}")
    for name, text in MEASURES.items():
        lines.append(f"| {text} | {' | '.join(_cell(table[key][name]) for key in bindings)} |")
    about = ", ".join(f"{name} {value}" for name, value in table["about"].items())
    return "\n".join([*lines, "", f"In brackets: 95 % interval and number of cases. Two subjects; {about}.", ""])


def _hits(value: bool | list[bool]) -> list[bool]:
    return value if isinstance(value, list) else [value]


def _cell(figure: Mapping[str, float] | None) -> str:
    return (
        "-" if figure is None else f"{figure['mean']:.3f} ({figure['low']:.3f} to {figure['high']:.3f}, {figure['n']})"
    )


def _check(options: LeakageOptions) -> None:
    if options.seed < FIRST_SEED:
        raise SettingsError(f"The seed is {options.seed}: identities below {FIRST_SEED} are trained on.")
    if not options.bindings or not all(0 <= binding <= 1 for binding in options.bindings):
        raise SettingsError("Bindings must be from 0 (off) to 1.")


def _begin(options: LeakageOptions) -> dict[str, object]:
    """Make the folder; refuse one of another comparison. Returns what is compared."""
    about: dict[str, object] = {
        "model": fingerprint(options.model),
        "referee": fingerprint(options.referee),
        "first identity": options.seed,
        "seeds": list(options.seeds),
        **({} if options.adapter is None else {"adapter": fingerprint(options.adapter)}),
    }
    kept, settings = options.folder / "settings.json", json.dumps(about, indent=2)
    if kept.exists() and kept.read_text() != settings:
        raise SettingsError(f'The folder "{options.folder}" holds a comparison of another model: choose another --out.')
    options.folder.mkdir(parents=True, exist_ok=True)
    kept.write_text(settings)
    return about


def _file(options: LeakageOptions, binding: float) -> Path:
    return options.folder / f"rows-{binding:g}.jsonl"


def _rows(options: LeakageOptions, binding: float) -> list[ToyboxScores]:
    """Rows of the finished prompts among those that are asked for; a line that a kill cut short is taken out."""
    path = _file(options, binding)
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    if lines and not lines[-1].endswith("\n"):
        lines = lines[:-1]
        path.write_text("".join(lines))
    rows = [ToyboxScores(**values) for line in lines for values in json.loads(line)]
    return [row for row in rows if row.number < options.prompts]
