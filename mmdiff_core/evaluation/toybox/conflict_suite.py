"""Words against photos: what wins where the prompt contradicts the photos, and whether words set a toy's size.

Two kinds of case about held-out toys, photographed as in the Toybox suite:

* **colour**: "a red cat", with photos of a blue cat. The referee reads the main colour of the generated toy.
* **size**: "a tiny cat next to a giant bear", beside the same prompt without the two adjectives, from the same seed.
  The measure is how much of the two toys' area the first one has.

REPORT/
    conflicts.json, conflicts.md   the results
    rows.jsonl                     the measures of every image; a later start continues behind its last prompt
    settings.json                  what was evaluated
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from mmdiff_core.atomic_files import write_text
from mmdiff_core.backbones.toybox import FOLDER, load_toybox
from mmdiff_core.errors import SettingsError
from mmdiff_core.evaluation.result_folder import append_prompt, claim_folder, read_prompts, repair, weights_fingerprint
from mmdiff_core.evaluation.toybox.suite import ToyboxSuite
from mmdiff_core.evaluation.toybox.toybox_cases import FIRST_SEED, SEEDS, ToyboxCase, compose_case
from mmdiff_core.evaluation.toybox.toybox_judge import pixels_of
from mmdiff_core.output.image_grid import to_image
from mmdiff_core.output.markdown import estimate_cell, markdown_table, settings_line
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.referee.judge import Judgement, judge
from mmdiff_core.referee.metrics import Estimate, average, proportion
from mmdiff_core.referee.network import FILE, load_referee
from mmdiff_core.toyworld.bodies.toys import make_toy
from mmdiff_core.toyworld.render.colours import COLOURS
from mmdiff_core.toyworld.render.styles import PHOTO
from mmdiff_core.toyworld.scenes.captions import BACKGROUND_WORDS
from mmdiff_core.toyworld.scenes.random_scenes import unseen
from mmdiff_core.toyworld.scenes.scene import Caption
from mmdiff_core.toyworld.scenes.vocabulary import Vocabulary

PROMPTS = 100
IDENTITIES = FIRST_SEED + 60_000  # behind those of the suite and of the failure cases
MAIN = 0  # of the referee's attributes
PHOTO_WINS, WORD_WINS, NEITHER = "photo", "word", "neither"

ConflictKind = Literal["colour", "size"]


@dataclass(frozen=True)
class ConflictOptions:
    """What to measure, and how much of it."""

    folder: Path
    model: Path = FOLDER
    referee: Path = FILE
    prompts: int = PROMPTS
    seeds: tuple[int, ...] = SEEDS
    device: str = "cpu"


@dataclass(frozen=True)
class Conflict:
    """A case with the prompt that contradicts it; ``word`` is the colour in that prompt."""

    kind: ConflictKind
    case: ToyboxCase
    caption: Caption
    word: str = ""


@dataclass(frozen=True)
class ConflictScores:
    """The measures of one image; those that its kind has not, or that could not be taken, are None."""

    kind: ConflictKind
    number: int
    seed: int
    prompt: str
    winner: str | None = None  # colour: PHOTO_WINS, WORD_WINS or NEITHER
    share: float | None = None  # size: the first toy's share of both toys' area
    plain_share: float | None = None  # the same without the adjectives
    render: str | None = None  # colour: what the real render of the same toy follows, which is the measure's ceiling


def draw_conflicts(vocabulary: Vocabulary, prompts: int) -> list[Conflict]:
    """Draw as many cases of each kind, the same each time; a shorter list begins a longer one."""
    numbers = range(prompts)
    return [draw(vocabulary, number) for number, draw in itertools.product(numbers, (_colour_case, _size_case))]


def evaluate_conflicts(options: ConflictOptions) -> dict[str, Any]:
    """Run the remaining prompts and write the report; return the content of ``conflicts.json``.

    Raises:
        SettingsError: the folder contains another evaluation.
        ModelError, CheckpointError: the model or the referee is missing or broken.
    """
    backbone, adapter = load_toybox(options.model, options.device)
    if len(backbone.vocabulary.classes) < 2:
        raise SettingsError("The model knows one class only; cases with two subjects need two.")
    referee = load_referee(options.referee, options.device)
    referee.config.check_knows(backbone.vocabulary)
    about = _settings(options)
    claim_folder(options.folder, about)
    rows = options.folder / "rows.jsonl"
    repair(rows)
    done = {(row["kind"], row["number"]) for row in read_prompts(rows)}
    suite = ToyboxSuite(Personalizer(backbone, adapter), referee, options.seeds, bounds=False)
    left = [c for c in draw_conflicts(backbone.vocabulary, options.prompts) if (c.kind, c.case.number) not in done]
    for conflict in tqdm(left, desc="conflicts", unit="prompt"):
        append_prompt(rows, [asdict(scores) for scores in run_conflict(suite, conflict)])
    found = [ConflictScores(**row) for row in read_prompts(rows) if row["number"] < options.prompts]
    table = {**summarise_conflicts(found), "about": about}
    write_text(options.folder / "conflicts.json", json.dumps(table, indent=2) + "\n")
    write_text(options.folder / "conflicts.md", conflicts_markdown(table))
    return table


def run_conflict(suite: ToyboxSuite, conflict: Conflict) -> list[ConflictScores]:
    """Generate and judge an image of the contradicting prompt for each seed."""
    case = conflict.case
    told = _judged(suite, replace(case, scene=replace(case.scene, caption=conflict.caption)))
    if conflict.kind == "colour":
        (photos,) = suite.judge_photos(case, suite.render_photos(case))
        winners = [_winner(suite, judgement, photos, conflict.word) for judgement in told]
        (rendered,) = judge(suite.referee, suite.render([case.scene]), [case.classes])
        ceiling = _winner(suite, rendered, photos, conflict.word)
        return [_scores(conflict, seed, winner=w, render=ceiling) for seed, w in zip(suite.seeds, winners, strict=True)]
    shares = zip(suite.seeds, told, _judged(suite, case), strict=True)
    return [_scores(conflict, seed, share=_share(a), plain_share=_share(b)) for seed, a, b in shares]


def summarise_conflicts(rows: Sequence[ConflictScores]) -> dict[str, Any]:
    """Return the estimates; every interval counts prompts as independent."""
    colour = [row for row in rows if row.winner is not None]
    size = [row for row in rows if row.share is not None and row.plain_share is not None]
    numbers = [row.number for row in size]
    renders = {row.number: row.render == PHOTO_WINS for row in rows if row.render is not None}
    estimates = {
        "render": proportion(list(renders.values())),
        **{name: proportion([r.winner == name for r in colour], [r.number for r in colour]) for name in _WINNERS},
        "share": average([float(row.share or 0) for row in size], numbers),
        "plain_share": average([float(row.plain_share or 0) for row in size], numbers),
        "smaller": proportion([(row.share or 0) < (row.plain_share or 0) for row in size], numbers),
    }
    judged = {"colour": len(colour), "size": len(size)}
    asked = {kind: sum(row.kind == kind for row in rows) for kind in judged}
    return {**{name: _json(estimate) for name, estimate in estimates.items()}, "judged": judged, "images": asked}


def conflicts_markdown(table: Mapping[str, Any]) -> str:
    """Return a row for each measure."""
    results = markdown_table(
        ["measure, by the referee", "result"], [[text, estimate_cell(table[name], ", n ")] for name, text in _ROWS]
    )
    judged = ", ".join(f"{table['judged'][kind]} of {n} ({kind})" for kind, n in table["images"].items())
    notes = f"In brackets: 95 % interval and number of images. Images in which every toy was found: {judged}."
    return "\n".join([results, "", notes, "", f"{settings_line(table['about'])}.", ""])


_WINNERS = (PHOTO_WINS, WORD_WINS, NEITHER)
_ROWS = (
    (PHOTO_WINS, '"a red cat", photos of a blue cat: the photos\' colour wins'),
    (WORD_WINS, "the word's colour wins"),
    (NEITHER, "neither"),
    ("render", "real renders of the toy that have its photos' colour, by the same reading"),
    ("share", "\"a tiny cat next to a giant bear\": the cat's share of both toys' area"),
    ("plain_share", '"a cat next to a bear", the same toys and seeds'),
    ("smaller", "images in which the adjectives made the first toy's share smaller"),
)


def _colour_case(vocabulary: Vocabulary, number: int) -> Conflict:
    rng = random.Random(f"conflict: colour: {number}")
    case = _case(rng, vocabulary, number, rng.sample(vocabulary.classes, 1), IDENTITIES)
    (toy,) = case.toys
    word = rng.choice([name for name in COLOURS if name not in toy.attributes.colour_names])
    where = BACKGROUND_WORDS[case.scene.background][0]
    return Conflict("colour", case, _caption(f"{_article(word)} {word} {toy.class_name} {where}", case), word)


def _size_case(vocabulary: Vocabulary, number: int) -> Conflict:
    rng = random.Random(f"conflict: size: {number}")
    case = _case(rng, vocabulary, number, rng.sample(vocabulary.classes, 2), IDENTITIES + 10_000)
    where = BACKGROUND_WORDS[case.scene.background][0]
    a, b = case.classes
    plain = _caption(f"{_article(a)} {a} next to {_article(b)} {b} {where}", case)
    case = replace(case, scene=replace(case.scene, caption=plain))
    return Conflict("size", case, _caption(f"a tiny {a} next to a giant {b} {where}", case))


def _case(rng: random.Random, vocabulary: Vocabulary, number: int, classes: Sequence[str], first: int) -> ToyboxCase:
    """Compose photos of toys on a background that all of them were trained on."""
    free = [x for x in vocabulary.backgrounds if not any(unseen(name, x, PHOTO) for name in classes)]
    toys = [make_toy(name, first + len(classes) * number + k) for k, name in enumerate(classes)]
    return compose_case(rng, toys, number, rng.choice(free or vocabulary.backgrounds), PHOTO, vocabulary, bare=True)


def _caption(text: str, case: ToyboxCase) -> Caption:
    return Caption(text, case.classes, text)


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _judged(suite: ToyboxSuite, case: ToyboxCase) -> list[Judgement]:
    """Generate an image for each seed and judge it."""
    photos = tuple(tuple(map(to_image, own)) for own in suite.render_photos(case))
    images = [pixels_of(generated.image) for generated in suite.generate(suite.request(case, photos))]
    return [judge(suite.referee, image[None], [case.classes])[0] for image in images]


def _winner(suite: ToyboxSuite, judgement: Judgement, photos: Judgement, word: str) -> str | None:
    """Return what the toy's main colour follows; None if the toy is not found."""
    if not judgement.found[0]:
        return None
    colour = int(judgement.attributes[MAIN][0].argmax())
    if colour == int(photos.attributes[MAIN][0].argmax()):
        return PHOTO_WINS
    return WORD_WINS if suite.referee.config.colours[colour] == word else NEITHER


def _share(judgement: Judgement) -> float | None:
    """Return the first toy's share of both toys' area; None unless both are found."""
    if not all(judgement.found):
        return None
    first, second = judgement.regions.flatten(1).float().mean(1).tolist()
    return round(first / (first + second), 4)


def _scores(conflict: Conflict, seed: int, **measures: Any) -> ConflictScores:
    return ConflictScores(conflict.kind, conflict.case.number, seed, conflict.caption.text, **measures)


def _json(estimate: Estimate) -> dict[str, float | int] | None:
    return estimate.to_json() if estimate.n else None


def _settings(options: ConflictOptions) -> dict[str, object]:
    return {
        "model": weights_fingerprint(options.model),
        "referee": weights_fingerprint(options.referee),
        "seeds": list(options.seeds),
    }
