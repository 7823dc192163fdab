"""Whole DreamBench runs on tiny models: the report, going on, and several processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmdiff_core.cli.main import BAD_INPUT, main
from mmdiff_core.errors import SettingsError
from mmdiff_core.evaluation.dreambench import run
from mmdiff_core.evaluation.dreambench.run import (
    dreambench_markdown,
    evaluate_dreambench,
    read_dreambench_scores,
    summarise_dreambench,
)
from mmdiff_core.evaluation.dreambench.similarity import Evaluators
from mmdiff_core.evaluation.dreambench.suite import DreamBench, DreamBenchOptions, DreamBenchScores
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.weights.adapter_file import save_adapter
from tests.helpers import tiny
from tests.helpers.markdown import cells
from tests.helpers.paths import ROOT


def _options(dataset: Path, folder: Path) -> DreamBenchOptions:
    return DreamBenchOptions(dataset, folder, prompts=2, images=2, pairs=1, steps=1)


def test_means_intervals_and_faces_by_hand() -> None:
    one = DreamBenchScores(
        "cat/00", 1, "a cat", 0, clip_i=0.5, dino=0.25, clip_t=0.125, seconds=2.0, face=0.5, faces_sought=True
    )
    rows = [
        one,
        replace(one, seed=1, clip_i=0.75, seconds=4.0, face=None),
        replace(one, key="dog/00", clip_i=1.0, seconds=6.0, face=0.25),
        replace(one, key="vase/00", clip_i=0.75, seconds=8.0, face=None, faces_sought=False),
    ]
    table = {**summarise_dreambench(rows), "about": {"model": "x"}}
    single = table["one subject"]
    assert single["clip_i"]["mean"] == 0.75
    assert single["dino"] == {"mean": 0.25, "low": 0.25, "high": 0.25, "n": 4}
    assert single["seconds"]["mean"] == 5.0
    assert single["face"]["mean"] == 0.375
    assert single["face_found"] == round(2 / 3, 4)
    assert single["pictures"] == 4
    assert table["two subjects"] == {"pictures": 0}
    one_subject, two_subjects = cells(dreambench_markdown(table))[2:4]
    assert one_subject[:2] == ["one subject", "0.250 (0.250 to 0.250)"]
    assert one_subject[2].startswith("0.750 (")
    assert two_subjects == ["two subjects", *"-----", "0"]


def test_a_run_goes_on_where_it_was_stopped(
    parts: tuple[Personalizer, Evaluators], dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = evaluate_dreambench(*parts, _options(dataset, tmp_path / "whole"), {"model": "tiny"})
    assert whole["one subject"]["pictures"] == 3 * 2 * 2
    assert whole["two subjects"]["pictures"] == 1 * 2 * 2

    options = _options(dataset, tmp_path / "stopped")
    real, made = DreamBench.scores, []

    def stopping(self: DreamBench, case):
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(case.key)
        return real(self, case)

    monkeypatch.setattr(DreamBench, "scores", stopping)
    with pytest.raises(KeyboardInterrupt):
        evaluate_dreambench(*parts, options, {"model": "tiny"})
    with (options.folder / "rows-0.jsonl").open("a") as file:
        file.write('[{"key": "torn')
    made.clear()
    monkeypatch.setattr(DreamBench, "scores", lambda self, case: (made.append(case.key), real(self, case))[1])
    resumed = evaluate_dreambench(*parts, options, {"model": "tiny"})
    assert len(made) == 8 - 3
    for kind in ("one subject", "two subjects"):
        for measure in ("clip_i", "dino", "clip_t"):
            assert resumed[kind][measure] == whole[kind][measure]
    assert (options.folder / "pictures" / "cat2" / "00_1.png").is_file()
    assert json.loads((options.folder / "settings.json").read_text())["pictures"] == 2  # as in earlier versions
    with pytest.raises(SettingsError, match="contains an evaluation with other settings"):
        evaluate_dreambench(*parts, replace(options, steps=2), {"model": "tiny"})
    with pytest.raises(SettingsError, match="other settings"):
        evaluate_dreambench(*parts, options, {"model": "another"})


def test_processes_share_the_prompts(
    parts: tuple[Personalizer, Evaluators], dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of three takes its own prompts; the first writes the report over the rows of all."""
    options = _options(dataset, tmp_path)
    tables = []
    for rank in (2, 1, 0):  # one after the other, so that none goes on behind another
        state = _State(rank)
        monkeypatch.setattr(run, "PartialState", lambda state=state: state)
        monkeypatch.setattr(run, "finished_keys", lambda folder: set())
        tables.append(evaluate_dreambench(*parts, options, {"model": "tiny"}))
    assert tables[:2] == [None, None]
    rows = read_dreambench_scores(tmp_path)
    assert len(rows) == len({(row.key, row.seed) for row in rows}) == 16
    assert sorted(path.name for path in tmp_path.glob("rows-*")) == ["rows-0.jsonl", "rows-1.jsonl", "rows-2.jsonl"]
    assert tables[2]["one subject"]["pictures"] == 12


class _State(SimpleNamespace):
    """One of three processes, as accelerate tells it."""

    def __init__(self, rank: int) -> None:
        super().__init__(process_index=rank, num_processes=3, is_main_process=rank == 0)

    def main_process_first(self):
        return open(os.devnull)

    def wait_for_everyone(self) -> None:
        pass


def _command(dataset: Path, model: Path, folders: tuple[Path, Path], out: Path) -> list[str]:
    return [
        *("evaluate", "dreambench", "--dataset", str(dataset), "--out", str(out), "--device", "cpu"),
        *("--base", str(model), "--adapter", str(model / "adapter.safetensors")),
        *("--clip", str(folders[0]), "--dino", str(folders[1]), "--quick", "--steps", "1"),
    ]


def test_the_command(
    dataset: Path, model: Path, folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(_command(dataset, model, folders, tmp_path)) == 0
    assert "one subject" in [row[0] for row in cells(capsys.readouterr().out)]
    table = json.loads((tmp_path / "dreambench.json").read_text())
    assert table["one subject"]["pictures"] == 6
    assert table["about"]["adapter"].startswith("adapter.safetensors ")


@pytest.mark.slow
def test_another_adapter_of_the_same_name_gets_no_figures_of_the_first(
    dataset: Path, model: Path, folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other" / "adapter.safetensors"
    save_adapter(tiny.adapter_for(tiny.stable_diffusion(), seed=5), other, {})
    command = _command(dataset, model, folders, tmp_path / "out")
    assert main(command) == 0
    assert main([*command, "--adapter", str(other)]) == BAD_INPUT
    assert main([*command, "--dtype", "bfloat16"]) == BAD_INPUT
    assert "contains an evaluation with other settings" in capsys.readouterr().err


@pytest.mark.slow
def test_two_real_processes(dataset: Path, model: Path, folders: tuple[Path, Path], tmp_path: Path) -> None:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    ran = subprocess.run(
        [*launch, "-m", "mmdiff_core", *_command(dataset, model, folders, tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert {path.name for path in tmp_path.glob("rows-*")} == {"rows-0.jsonl", "rows-1.jsonl"}
    assert json.loads((tmp_path / "dreambench.json").read_text())["one subject"]["pictures"] == 6


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--dataset", "nowhere"], 'There is no folder "nowhere"'),
        (["--dataset", ".", "--images", "0"], "--images must be at least 1"),
        (["--dataset", ".", "--pairs", "-1"], "--pairs must be at least 0"),
    ],
)
def test_flags_that_make_no_sense(
    flags: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "dreambench", "--out", str(tmp_path), *flags]) == 2
    assert says in capsys.readouterr().err
