"""A DreamBench evaluation in a folder. It can be resumed, and several processes can share it.

REPORT/
    dreambench.json, .md      the results
    pictures/                 SUBJECT/PROMPT_SEED.png
    rows-RANK.jsonl           the measures of every image; a later start continues behind the last prompt
    settings.json             what was evaluated
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from accelerate import PartialState
from tqdm import tqdm

from mmdiff_core.atomic_files import write_text
from mmdiff_core.evaluation.dreambench.similarity import Evaluators
from mmdiff_core.evaluation.dreambench.suite import (
    DreamBench,
    DreamBenchCase,
    DreamBenchOptions,
    DreamBenchScores,
    draw_dreambench_cases,
    read_subjects,
)
from mmdiff_core.evaluation.result_folder import append_prompt, claim_folder, read_prompts, repair
from mmdiff_core.output.markdown import estimate_cell, markdown_table, settings_line
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.referee.metrics import Estimate, average


def evaluate_dreambench(
    personalizer: Personalizer, evaluators: Evaluators, options: DreamBenchOptions, about: Mapping[str, object]
) -> dict[str, Any] | None:
    """Run this process's share of the remaining prompts, and write the report.

    Args:
        personalizer: the model under test.
        evaluators: the networks that measure.
        options: what to measure.
        about: the model; a folder with images of another model is refused.

    Returns:
        The content of ``dreambench.json``; None in all processes but the first.

    Raises:
        SettingsError: the dataset cannot be used, or the folder contains another evaluation.
    """
    state = PartialState()
    cases = draw_dreambench_cases(read_subjects(options.dataset), options.prompts, options.pairs)
    if state.is_main_process:
        claim_folder(options.folder, {**about, **_numbers(options)})
        for file in options.folder.glob("rows-*.jsonl"):
            repair(file)
    state.wait_for_everyone()
    done = finished_keys(options.folder)
    state.wait_for_everyone()  # no process writes before all have read
    left = [case for case in cases if case.key not in done]
    share = left[state.process_index :: state.num_processes]
    _run_cases(DreamBench(personalizer, evaluators, options), share, options.folder, state.process_index)
    state.wait_for_everyone()
    return (
        _write_report(read_dreambench_scores(options.folder), options.folder, about) if state.is_main_process else None
    )


def _numbers(options: DreamBenchOptions) -> dict[str, object]:
    """Return what settings.json says of the options, under the keys of earlier versions."""
    numbers = {name: value for name, value in asdict(options).items() if name not in ("dataset", "folder")}
    return {"pictures" if name == "images" else name: value for name, value in numbers.items()}


def _run_cases(bench: DreamBench, cases: Sequence[DreamBenchCase], folder: Path, rank: int) -> None:
    with tqdm(total=len(cases), desc="dreambench", unit="prompt", dynamic_ncols=True, disable=rank > 0) as bar:
        for case in cases:
            bar.set_postfix_str(case.prompt[:40])
            rows = []
            for score, image in bench.scores(case):
                path = folder / "pictures" / f"{case.key}_{score.seed}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                image.save(path)
                rows.append(asdict(score))
            append_prompt(folder / f"rows-{rank}.jsonl", rows)
            bar.update()


def finished_keys(folder: Path) -> set[str]:
    """Return the keys of the cases that are done."""
    return {scores.key for scores in read_dreambench_scores(folder)}


def read_dreambench_scores(folder: Path) -> list[DreamBenchScores]:
    """Read the scores of all images, of every process."""
    files = sorted(folder.glob("rows-*.jsonl"))
    return [DreamBenchScores(**values) for file in files for values in read_prompts(file)]


# ---------------------------------------------------------------- the report

MEASURES = {"dino": "DINO", "clip_i": "CLIP-I", "clip_t": "CLIP-T", "face": "face similarity", "seconds": "seconds"}
COUNTS = {1: "one subject", 2: "two subjects"}


def summarise_dreambench(scores: Sequence[DreamBenchScores]) -> dict[str, Any]:
    """Return mean and 95 % interval of each measure by the number of subjects; intervals count subjects, not images."""
    table: dict[str, Any] = {}
    for count, title in COUNTS.items():
        rows = [score for score in scores if score.subjects == count]
        table[title] = {name: _estimate(rows, name).to_json() for name in MEASURES if _values(rows, name)}
        if sought := [score for score in rows if score.faces_sought]:
            table[title]["face_found"] = round(fmean(score.face is not None for score in sought), 4)
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
    write_text(folder / "dreambench.json", json.dumps(table, indent=2) + "\n")
    write_text(folder / "dreambench.md", dreambench_markdown(table))
    return table


def dreambench_markdown(table: Mapping[str, Any]) -> str:
    """Return the table in Markdown, a row per number of subjects."""
    rows = [
        [title, *(estimate_cell(table[title].get(name)) for name in MEASURES), table[title]["pictures"]]
        for title in COUNTS.values()
    ]
    faces = [
        f"A face was found in {table[title]['face_found']:.0%} of the images of {title}."
        for title in COUNTS.values()
        if "face_found" in table[title]
    ]
    notes = [*faces, f"In brackets: 95 % interval over subjects. {settings_line(table['about'])}."]
    return "\n\n".join([markdown_table(["", *MEASURES.values(), "images"], rows), *notes]) + "\n"
