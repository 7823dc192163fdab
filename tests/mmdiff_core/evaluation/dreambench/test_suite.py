"""The DreamBench suite on tiny models: its prompts, its arithmetic, stopping and going on, several processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdiff_core.errors import SettingsError
from mmdiff_core.evaluation.dreambench.similarity import Evaluators, mean_cosine
from mmdiff_core.evaluation.dreambench.suite import (
    DreamBench,
    DreamBenchOptions,
    draw_dreambench_cases,
    read_subjects,
)
from mmdiff_core.pipeline import Personalizer
from tests.helpers import tiny


def _options(dataset: Path, folder: Path) -> DreamBenchOptions:
    return DreamBenchOptions(dataset, folder, prompts=2, images=2, pairs=1, steps=1)


def test_subjects_of_a_folder(dataset: Path) -> None:
    found = read_subjects(dataset)
    assert [(known.name, known.class_name, known.live, len(known.photos)) for known in found] == [
        ("cat2", "cat", True, 2), ("dog", "dog", True, 2), ("mech", "robot", False, 2)
    ]  # fmt: skip
    cases = draw_dreambench_cases(found, None, 30)
    assert len(cases) == 3 * 25 + 3 * 10  # every pair there is
    assert len({case.key for case in cases}) == len(cases)
    assert draw_dreambench_cases(found, 2, 1) == draw_dreambench_cases(found, 2, 1)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: None, "contains no folder of photos"),
        (lambda folder: (folder / "unicorn").mkdir(), '"unicorn" is no subject of DreamBench: write a line'),
        (lambda folder: (folder / "cat").mkdir(), "contains no photo"),
        (lambda folder: (folder / "classes.txt").write_text("a,b,c,d"), 'the line "a,b,c,d" cannot be read'),
        (lambda folder: folder.rmdir(), "There is no folder"),
    ],
)
def test_folders_that_are_no_good(make, says: str, tmp_path: Path) -> None:
    folder = tmp_path / "dataset"
    folder.mkdir()
    make(folder)
    with pytest.raises(SettingsError, match=says):
        read_subjects(folder)


def test_a_picture_is_compared_with_photos_and_prompt(parts: tuple[Personalizer, Evaluators], dataset: Path) -> None:
    personalizer, evaluators = parts
    known = read_subjects(dataset)
    case = draw_dreambench_cases(known, 1, 1)[-1]
    assert len(case.subjects) == 2
    bench = DreamBench(personalizer, evaluators, _options(dataset, dataset))
    shown = list(bench.scores(case))
    assert [score.seed for score, _ in shown] == [0, 1]
    score, image = shown[1]
    photos = [[tiny.Image.open(path) for path in subject.photos] for subject in case.subjects]
    clip = [mean_cosine(evaluators.clip_images([image]), evaluators.clip_images(own)) for own in photos]
    dino = [mean_cosine(evaluators.dino_images([image]), evaluators.dino_images(own)) for own in photos]
    assert score.clip_i == pytest.approx(sum(clip) / 2, abs=1e-6)
    assert score.dino == pytest.approx(sum(dino) / 2, abs=1e-6)
    assert score.clip_t == pytest.approx(
        mean_cosine(evaluators.clip_images([image]), evaluators.clip_text(case.prompt))
    )
    assert score.seconds > 0
    assert score.face is None
