"""A Toybox evaluation in a folder. It can be resumed, so an interruption costs one prompt at most.

REPORT/
    toybox.json, toybox.md    the results
    sheets/one.png ...        contact sheets of the first prompts
    rows.jsonl                the measures of every image; a later start continues behind its last prompt
    settings.json             what was evaluated; a start with other settings is refused
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor
from tqdm import tqdm

from mmdiff_core.atomic_files import atomic_file
from mmdiff_core.backbones.toybox import FOLDER, load_toybox
from mmdiff_core.errors import SettingsError
from mmdiff_core.evaluation.result_folder import append_prompt, claim_folder, read_prompts, repair, weights_fingerprint
from mmdiff_core.evaluation.toybox.case_sheet import case_strip, stack_strips
from mmdiff_core.evaluation.toybox.given_images import GivenImages, ImageFolder, write_cases
from mmdiff_core.evaluation.toybox.report import write_toybox_report
from mmdiff_core.evaluation.toybox.suite import DEFAULT_SAMPLING, Sampling, ToyboxSuite
from mmdiff_core.evaluation.toybox.toybox_cases import COUNTS, FIRST_SEED, PROMPTS, SEEDS, ToyboxCase, draw_toybox_cases
from mmdiff_core.evaluation.toybox.toybox_judge import MODEL, ToyboxJudge, ToyboxScores
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.referee.network import FILE, Referee, load_referee
from mmdiff_core.toyworld.scenes.vocabulary import Vocabulary
from mmdiff_core.types import MapKind

ROWS = "rows.jsonl"
SHOWN = 8  # prompts on a contact sheet


@dataclass(frozen=True)
class ToyboxOptions:
    """What to evaluate, and how much of it."""

    folder: Path
    model: Path = FOLDER
    referee: Path = FILE
    prompts: Mapping[int, int] = field(default_factory=lambda: PROMPTS)  # by the number of subjects
    seeds: tuple[int, ...] = SEEDS
    seed: int = FIRST_SEED
    device: str = "cpu"
    map_kind: MapKind = "image"  # the kind of heatmap to measure
    bounds: bool = True  # real renders and the base model, too
    sampling: Sampling = DEFAULT_SAMPLING


def evaluate_toybox(options: ToyboxOptions) -> dict[str, Any]:
    """Run the remaining prompts and write the report; return the content of ``toybox.json``.

    Raises:
        SettingsError: the first identity is one that training may have seen.
        ModelError, CheckpointError: the model or the referee is missing or broken.
    """
    backbone, adapter = load_toybox(options.model, options.device)
    return evaluate_model(Personalizer(backbone, adapter), backbone.vocabulary, options)


def evaluate_model(
    personalizer: Personalizer,
    vocabulary: Vocabulary,
    options: ToyboxOptions,
    about: Mapping[str, object] | None = None,
    distractors: dict[str, Tensor] | None = None,
) -> dict[str, Any]:
    """Evaluate a loaded model; errors as :func:`evaluate_toybox`.

    Args:
        personalizer: the model.
        vocabulary: what it was trained on.
        options: as for :func:`evaluate_toybox`.
        about: how the model differs from that of the options.
        distractors: as for :class:`ToyboxSuite`.
    """
    referee = _referee(options, vocabulary)
    suite = ToyboxSuite(
        personalizer, referee, options.seeds, options.seed, options.map_kind, options.bounds, distractors,
        options.sampling.changes(personalizer),
    )  # fmt: skip
    chosen = {name: value for name, value in asdict(options.sampling).items() if value}
    model = {"model": weights_fingerprint(options.model), **_common(options), **chosen, **(about or {})}
    return _evaluate(suite, draw_toybox_cases(vocabulary, options.prompts, options.seed), options, model)


def evaluate_images(images: Path, options: ToyboxOptions) -> dict[str, Any]:
    """Evaluate images that another program made, as ``given_images`` describes them.

    The model of the options only gives the cases, its vocabulary's, and the size at which they are judged.

    Raises:
        SettingsError: an image is missing; and as :func:`evaluate_toybox`.
    """
    backbone, _ = load_toybox(options.model, options.device)
    referee, folder = _referee(options, backbone.vocabulary), ImageFolder(images, options.seeds)
    cases = draw_toybox_cases(backbone.vocabulary, options.prompts, options.seed)
    about = {"images": folder.fingerprint(cases), **_common(options)}
    suite = GivenImages(folder, referee, backbone.sizes.default, options.seed, options.bounds)
    return _evaluate(suite, cases, options, about)


def write_toybox_cases(options: ToyboxOptions) -> int:
    """Write the prompts and photos of the suite for another program; return how many cases there are."""
    backbone, _ = load_toybox(options.model, options.device)
    cases = draw_toybox_cases(backbone.vocabulary, options.prompts, options.seed)
    write_cases(cases, options.folder, backbone.sizes.default, options.seeds)
    return len(cases)


def _referee(options: ToyboxOptions, vocabulary: Vocabulary) -> Referee:
    """Load the referee, if the options and it suit a vocabulary."""
    if options.seed < FIRST_SEED:
        raise SettingsError(
            f"The seed is {options.seed}: identities below {FIRST_SEED} are trained on; choose a higher one."
        )
    referee = load_referee(options.referee, options.device)
    referee.config.check_knows(vocabulary)
    return referee


def _evaluate(
    suite: ToyboxJudge, cases: Sequence[ToyboxCase], options: ToyboxOptions, about: Mapping[str, object]
) -> dict[str, Any]:
    """Judge the remaining cases and write the report."""
    claim_folder(options.folder, {**about, "prompts": {str(count): n for count, n in options.prompts.items()}})
    done = {(scores.count, scores.number) for scores in read_toybox_scores(options.folder) if scores.kind == MODEL}
    _run_cases(suite, [case for case in cases if (case.count, case.number) not in done], options)
    _write_sheets(options.folder)
    return write_toybox_report(read_toybox_scores(options.folder), options.folder, about)


def read_toybox_scores(folder: Path) -> list[ToyboxScores]:
    """Read the scores of the finished prompts; remove a line that an interruption cut short."""
    repair(folder / ROWS)
    return [ToyboxScores(**values) for values in read_prompts(folder / ROWS)]


def _common(options: ToyboxOptions) -> dict[str, object]:
    return {
        "referee": weights_fingerprint(options.referee),
        "first identity": options.seed,
        "pictures per prompt": len(options.seeds),
    }


def _run_cases(suite: ToyboxJudge, cases: Sequence[ToyboxCase], options: ToyboxOptions) -> None:
    per_case = len(options.seeds)
    with tqdm(total=len(cases) * per_case, desc="toybox suite", unit="image", dynamic_ncols=True) as bar:
        for case in cases:
            bar.set_postfix_str(case.scene.caption.text[:40])
            outcome = suite.run(case)
            if case.number < SHOWN:
                _save(case_strip(outcome), options.folder / "sheets" / f"{COUNTS[case.count]}_{case.number}.png")
            append_prompt(options.folder / ROWS, [asdict(judged.scores) for judged in outcome.images])
            bar.update(per_case)


def _write_sheets(folder: Path) -> None:
    for name in COUNTS.values():
        strips = [path for k in range(SHOWN) if (path := folder / "sheets" / f"{name}_{k}.png").exists()]
        if strips:
            _save(stack_strips(strips), folder / "sheets" / f"{name}.png")


def _save(image: Image.Image, path: Path) -> None:
    with atomic_file(path) as temp_file:
        image.save(temp_file)
