"""The same cases under several settings of the request: the same prompts, photos and seeds, and nothing else differs.

REPORT/
    rows-NAME.jsonl   the measures of every image under one setting; a later start continues behind its last prompt
    settings.json     what was evaluated
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mmdiff_core.backbones.toybox import Toybox, load_toybox
from mmdiff_core.evaluation.result_folder import append_prompt, claim_folder, read_prompts, repair, weights_fingerprint
from mmdiff_core.evaluation.toybox.suite import ToyboxSuite
from mmdiff_core.evaluation.toybox.toybox_cases import ToyboxCase
from mmdiff_core.evaluation.toybox.toybox_judge import ToyboxScores
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.referee.network import Referee, load_referee


@dataclass(frozen=True)
class ComparedModel:
    """The model under test, its referee, and the folder of the report."""

    folder: Path
    backbone: Toybox
    personalizer: Personalizer
    referee: Referee
    about: Mapping[str, object]  # what was evaluated


def claim_comparison(
    folder: Path, model: Path, referee: Path, device: str, adapter: Path | None = None, **about: object
) -> ComparedModel:
    """Load what a comparison needs, and note in its folder what is evaluated.

    Raises:
        SettingsError: the folder contains another evaluation.
        ModelError, CheckpointError: the model or the referee is missing or broken.
    """
    backbone, weights = load_toybox(model, device, adapter)
    judging = load_referee(referee, device)
    judging.config.check_knows(backbone.vocabulary)
    fingerprints = {"model": weights_fingerprint(model), "referee": weights_fingerprint(referee)}
    noted = {**fingerprints, **about, **({} if adapter is None else {"adapter": weights_fingerprint(adapter)})}
    claim_folder(folder, noted)
    return ComparedModel(folder, backbone, Personalizer(backbone, weights), judging, noted)


def run_comparison(
    compared: ComparedModel, cases: Sequence[ToyboxCase], settings: Mapping[str, Mapping[str, Any]],
    seeds: Sequence[int], seed: int,
) -> dict[str, list[ToyboxScores]]:  # fmt: skip
    """Carry out the remaining cases under each setting.

    Args:
        compared: the model.
        cases: numbered.
        settings: by name, the fields of a request that each one changes.
        seeds: of the images of each case.
        seed: of the galleries, as for :class:`ToyboxSuite`.

    Returns:
        The scores of all cases, by the name of the setting.
    """
    numbers = {case.number for case in cases}
    scores = {}
    for name, changes in settings.items():
        file = compared.folder / f"rows-{name}.jsonl"
        repair(file)
        done = {row["number"] for row in read_prompts(file)}
        suite = ToyboxSuite(
            compared.personalizer, compared.referee, seeds, seed, bounds=False, changes=changes
        )  # fmt: skip
        for case in tqdm([case for case in cases if case.number not in done], desc=name):
            append_prompt(file, [asdict(judged.scores) for judged in suite.run(case).images])
        rows = [ToyboxScores(**values) for values in read_prompts(file)]
        scores[name] = [row for row in rows if row.number in numbers]
    return scores
