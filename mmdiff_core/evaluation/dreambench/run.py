"""A whole DreamBench evaluation in a folder: resumable, and spread over processes.

REPORT/
    dreambench.json, .md      the figures
    pictures/                 SUBJECT/PROMPT_SEED.png
    rows-RANK.jsonl           what was measured of every picture; a later start goes on behind the last prompt
    settings.json             of what they are
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from accelerate import PartialState
from tqdm import tqdm

from mmdiff_core.evaluation.dreambench.similarity import Evaluators
from mmdiff_core.evaluation.dreambench.suite import (
    DreamBench,
    DreamBenchCase,
    DreamBenchOptions,
    DreamBenchScores,
    draw_dreambench_cases,
    mean,
    read_subjects,
)
from mmdiff_core.evaluation.toybox.run import claim_folder
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.referee.metrics import Estimate, average


def evaluate_dreambench(
    personalizer: Personalizer, judges: Evaluators, options: DreamBenchOptions, about: Mapping[str, object]
) -> dict[str, Any] | None:
    """Run what is still to be done, this process's share of it, and write the report.

    Args:
        personalizer: the model under test.
        judges: what measures.
        options: what to measure.
        about: what the model is; a folder with pictures of another model is refused.

    Returns:
        What ``dreambench.json`` holds; None in all processes but the first.

    Raises:
        SettingsError: the folders are no good, or hold an evaluation of something else.
    """
    state = PartialState()
    cases = draw_dreambench_cases(read_subjects(options.dataset), options.prompts, options.pairs)
    if state.is_main_process:
        _begin(options, about)  # of which the others cannot make the same at the same time
    state.wait_for_everyone()
    done = _finished(options)
    state.wait_for_everyone()  # nobody writes before all have read
    left = [case for case in cases if case.key not in done]
    share = left[state.process_index :: state.num_processes]
    _carry_out(DreamBench(personalizer, judges, options), share, options.folder, state.process_index)
    state.wait_for_everyone()
    return (
        _write_report(read_dreambench_scores(options.folder), options.folder, about) if state.is_main_process else None
    )


def _carry_out(bench: DreamBench, cases: Sequence[DreamBenchCase], folder: Path, rank: int) -> None:
    with tqdm(total=len(cases), desc="dreambench", unit="prompt", dynamic_ncols=True, disable=rank > 0) as bar:
        for case in cases:
            bar.set_postfix_str(case.prompt[:40])
            rows = []
            for score, image in bench.scores(case):
                path = folder / "pictures" / f"{case.key}_{score.seed}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                image.save(path)
                rows.append(asdict(score))
            with (folder / f"rows-{rank}.jsonl").open("a") as file:
                file.write(json.dumps(rows) + "\n")
            bar.update()


def _begin(options: DreamBenchOptions, about: Mapping[str, object]) -> None:
    numbers = {name: value for name, value in asdict(options).items() if name not in ("dataset", "folder")}
    settings = json.dumps({**about, **numbers}, indent=2, default=str)
    claim_folder(options.folder, settings)
    for path in options.folder.glob("rows-*.jsonl"):  # a line that a kill cut short is taken out
        lines = path.read_text().splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n"):
            path.write_text("".join(lines[:-1]))


def _finished(options: DreamBenchOptions) -> set[str]:
    return {score.key for score in read_dreambench_scores(options.folder)}


def read_dreambench_scores(folder: Path) -> list[DreamBenchScores]:
    """Every picture that was measured, by whichever process."""
    lines = [line for path in sorted(folder.glob("rows-*.jsonl")) for line in path.read_text().splitlines()]
    return [DreamBenchScores(**values) for line in lines for values in json.loads(line)]


# ---------------------------------------------------------------- the report

MEASURES = {"dino": "DINO", "clip_i": "CLIP-I", "clip_t": "CLIP-T", "face": "face similarity", "seconds": "seconds"}
COUNTS = {1: "one subject", 2: "two subjects"}


def summarise_dreambench(scores: Sequence[DreamBenchScores]) -> dict[str, Any]:
    """Mean and 95 % interval of each measure by the number of subjects; pictures of one subject are no new evidence."""
    table: dict[str, Any] = {}
    for count, title in COUNTS.items():
        rows = [score for score in scores if score.subjects == count]
        table[title] = {name: _estimate(rows, name).to_json() for name in MEASURES if _values(rows, name)}
        if sought := [score for score in rows if score.faces_sought]:
            table[title]["face_found"] = round(mean([score.face is not None for score in sought]), 4)
        table[title]["pictures"] = len(rows)
    return table


def _estimate(rows: Sequence[DreamBenchScores], name: str) -> Estimate:
    kept = [score for score in rows if getattr(score, name) is not None]
    return average(_values(rows, name), [score.key.split("/")[0] for score in kept])


def _values(rows: Sequence[DreamBenchScores], name: str) -> list[float]:
    return [value for score in rows if (value := getattr(score, name)) is not None]


def _write_report(scores: Sequence[DreamBenchScores], folder: Path, about: Mapping[str, object]) -> dict[str, Any]:
    ordered = sorted(scores, key=lambda score: (score.subjects, score.key, score.seed))
    table = {**summarise_dreambench(ordered), "about": {name: str(value) for name, value in about.items()}}
    (folder / "dreambench.json").write_text(json.dumps(table, indent=2) + "\n")
    (folder / "dreambench.md").write_text(dreambench_markdown(table))
    return table


def dreambench_markdown(table: Mapping[str, Any]) -> str:
    """The table for people."""
    lines = [f"| | {' | '.join(MEASURES.values())} | pictures |", f"|---|{'---|' * (len(MEASURES) + 1)}"]
    for title in COUNTS.values():
        cells = [_cell(table[title].get(name)) for name in MEASURES]
        lines.append(f"| {title} | {' | '.join(cells)} | {table[title]['pictures']} |")
        if "face_found" in table[title]:
            lines.append(f"\nA face was found in {table[title]['face_found']:.0%} of the pictures of {title}.")
    about = ", ".join(f"{name} {value}" for name, value in table["about"].items())
    return "\n".join([*lines, "", f"In brackets: 95 % interval over subjects. {about}.", ""])


def _cell(figure: Mapping[str, float] | None) -> str:
    return "-" if figure is None else f"{figure['mean']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"
