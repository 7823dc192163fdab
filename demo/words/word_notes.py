"""What is said about single words of a prompt: those that mean nothing to the model, and those that it does not read.

Each note comes with changes that one click makes: the nearest words that the model knows.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from demo.words.english import ARTICLES, Translated, Translator, in_english, with_article
from mmdiff_core.encoders.name_matching import WORD, Span, fold, likeness, nearest_span, overlap
from mmdiff_core.encoders.prompt import TRIGGER, PromptReading, read_length
from mmdiff_core.toyworld.scenes.known_phrases import KnownPhrases
from mmdiff_core.toyworld.scenes.vocabulary import Vocabulary
from mmdiff_core.types import Word

MAX_FIXES = 4  # chips of a note
MAX_NOTES = 3  # with chips; further unknown words share one
MAX_UNKNOWN = 40  # words that are looked at
_SHORTEST = 3  # letters of a known word that a typing error is compared with
_WEIGHT = re.compile(r"\(+([^():]{1,100}):\s*\d*\.?\d+\s*\)+")  # of other programs, such as (cat:1.3)


@dataclass(frozen=True)
class Fix:
    """A change of the prompt that one click makes.

    ``text`` takes the place of the characters from ``start`` to ``end``; ``label`` is on the chip, the key of a text
    where ``is_key``. ``names`` are new names of subjects.
    """

    label: str
    start: int
    end: int
    text: str
    names: Mapping[int, str] = field(default_factory=dict)
    is_key: bool = False


@dataclass(frozen=True)
class WordNote:
    """A sentence, as the key of a text and the values of its gaps, with fixes."""

    key: str
    values: Mapping[str, object]
    fixes: tuple[Fix, ...] = ()


@dataclass(frozen=True)
class PromptNotes:
    """Everything to say about a prompt: spans of ``unknown`` words, where reading ends, and notes.

    ``near`` has, for each subject that the prompt lacks, the fix that brings name and prompt together.
    """

    unknown: tuple[Span, ...] = ()
    read_to: int | None = None
    notes: tuple[WordNote, ...] = ()
    near: Mapping[int, Fix] = field(default_factory=dict)

    def is_unknown(self, span: Span) -> bool:
        """Whether a word has a part that means nothing to the model."""
        return any(overlap(span, other) for other in self.unknown)

    def is_read(self, span: Span) -> bool:
        """Whether the text encoder reads a word to its end."""
        return self.read_to is None or span[1] <= self.read_to


class WordReader:
    """Reads prompts as a model would.

    Args:
        vocabulary: what the model was trained on; None for a model of the real world, to which no word is unknown.
        tokenizers: of the model's text encoders.
        translator: knows other languages.
    """

    def __init__(
        self,
        vocabulary: Vocabulary | None = None,
        tokenizers: Sequence[Any] = (),
        translator: Translator | None = None,
    ) -> None:
        self.known = None if vocabulary is None else KnownPhrases(vocabulary)
        self.tokenizers = tokenizers
        self.translator = translator or Translator()

    def knows(self, text: str) -> bool:
        """Whether every word of a text means something to the model, as it is written."""
        return self.known is None or all(self._knows(match.group()) for match in WORD.finditer(text))

    def read(self, prompt: str, words: Sequence[Word], missing: Mapping[int, str]) -> PromptNotes:
        """Return what there is to say about a prompt.

        Args:
            prompt: without triggers.
            words: of the subjects that are in it.
            missing: the names of those that are not, by subject.
        """
        near = self._near(prompt, words, missing)
        unknown = tuple(self._unknown(prompt))
        reading = read_length(self.tokenizers, prompt)
        notes = (
            *self._unknown_notes(prompt, unknown, words, near),
            *_reading_notes(prompt, reading),
        )
        return PromptNotes(unknown, None if reading is None else reading.end, notes, near)

    # ------------------------------------------------------------ names that are nearly there

    def _near(self, prompt: str, words: Sequence[Word], missing: Mapping[int, str]) -> dict[int, Fix]:
        taken = [(word.start, word.end) for word in words]
        near: dict[int, Fix] = {}
        for subject, name in missing.items():
            span = nearest_span(prompt, name, taken)
            if span is not None:
                taken.append(span)
                near[subject] = self._together(prompt, span, subject, name)
        return near

    def _together(self, prompt: str, span: Span, subject: int, name: str) -> Fix:
        """Correct the prompt where the model knows the name alone; else the name, as the prompt is what it reads."""
        written = prompt[slice(*span)]
        if self.known is not None and self.knows(name) and not self.knows(written):
            return Fix(f"{written} → {name}", *span, name)
        return Fix(f"{name} → {written}", *span, written, {subject: written})

    # ------------------------------------------------------------ words that mean nothing

    def _knows(self, word: str) -> bool:
        assert self.known is not None
        plain = fold(word)
        parts = [plain.removesuffix("'s"), *plain.removesuffix("'s").split("-")]
        return plain == word.lower().replace("’", "'") and (
            parts[0] in self.known.words or all(part in self.known.words for part in parts[1:])
        )

    def _unknown(self, prompt: str) -> Iterator[Span]:
        if self.known is None:
            return
        weights = [(match.end(1), match.end()) for match in _WEIGHT.finditer(prompt)]
        for match in WORD.finditer(prompt):
            if not self._knows(match.group()) and not any(overlap(match.span(), other) for other in weights):
                yield match.span()

    def _unknown_notes(
        self, prompt: str, unknown: Sequence[Span], words: Sequence[Word], near: Mapping[int, Fix]
    ) -> Iterator[WordNote]:
        if self.known is None:
            return
        noted, rest = 0, []
        named = [*words, *(Word(subject, "", fix.start, fix.end) for subject, fix in near.items())]
        unknown = unknown[:MAX_UNKNOWN]
        foreign = self.translator.find(prompt, unknown)
        if any(english not in ARTICLES for _, english in foreign):
            yield _translation(prompt, foreign, named)
        taken = [*(span for span, _ in foreign), *((fix.start, fix.end) for fix in near.values())]
        unknown = [span for span in unknown if not any(overlap(span, other) for other in taken)]
        for run in _runs(prompt, unknown, self._spelled):
            fixes = self._fixes(prompt, run, words, lacks_toy=not near) if noted < MAX_NOTES else ()
            if fixes:
                noted += 1
                yield WordNote("unknown_word", {"word": prompt[slice(*run)]}, fixes)
            else:
                rest.append(run)
        if rest:
            shown = ", ".join(prompt[slice(*run)] for run in rest)
            owned = any(_owners(run, words) for run in rest)
            without = _left_out(prompt, rest)
            fix = Fix("leave_words_out", 0, len(prompt), without, is_key=True)
            yield WordNote("unknown_words", {"words": shown}, () if owned or not without else (fix,))

    def _spelled(self, word: str) -> list[str]:
        """Return the known words for a word of another language or with a typing error, the nearest first."""
        assert self.known is not None
        plain = fold(word)
        if plain in self.known.words:
            return [plain]
        rated = ((likeness(plain, known), known) for known in self.known.words if len(known) >= _SHORTEST)
        return [known for rate, known in heapq.nlargest(MAX_FIXES, rated) if rate > 0]

    def _fixes(self, prompt: str, run: Span, words: Sequence[Word], lacks_toy: bool) -> tuple[Fix, ...]:
        """Return fixes for unknown words that stand together, of the kind that the words before them ask for."""
        assert self.known is not None
        if _is_style(prompt, run):
            return tuple(Fix(phrase, *_styled(prompt, run), phrase) for phrase in self.known.styles[:MAX_FIXES])
        if spelled := self._spelled(prompt[slice(*run)]):
            return tuple(self._fix(prompt, run, word, words) for word in spelled)
        before = _words_before(prompt, run[0])
        place = next((match for match in before if fold(match[0]) not in (*ARTICLES, "the")), None)
        if place is not None and fold(place[0]) in self.known.place_prepositions:
            alike = sorted(self.known.backgrounds, key=lambda phrase: phrase.split()[0] != fold(place[0]))
            return tuple(Fix(phrase, place[1], run[1], phrase) for phrase in alike[:MAX_FIXES])
        named = {fold(match.group()) for match in WORD.finditer(prompt)}
        starts = lacks_toy and not before and named.isdisjoint(self.known.class_words)
        if _owners(run, words) or starts or (before and fold(before[0][0]) in {*ARTICLES, *self._before_a_toy}):
            free = [word for word in self.known.classes if word not in named]
            return tuple(self._fix(prompt, run, word, words, alone=True) for word in free[:MAX_FIXES])
        return ()

    @property
    def _before_a_toy(self) -> frozenset[str]:
        assert self.known is not None
        return frozenset(phrase.split()[-1] for phrase in self.known.relation_phrases)

    def _fix(self, prompt: str, run: Span, new: str, words: Sequence[Word], alone: bool = False) -> Fix:
        """Return the fix that writes a known word, a class with its article; ``alone``: also where it had none."""
        assert self.known is not None
        start, text = run[0], new
        before = _words_before(prompt, start)
        article = before and fold(before[0][0])
        if new in self.known.class_words and article in ("a", "an"):
            start, text = before[0][1], with_article(new)
        elif alone and article not in ("the", "another"):
            text = with_article(new)
        return Fix(new, start, run[1], text, dict.fromkeys(_owners(run, words), new))


def _translation(prompt: str, foreign: Sequence[Translated], words: Sequence[Word]) -> WordNote:
    """Return a note with the whole prompt in English, as far as it can be said with known words."""
    text, english = in_english(prompt, foreign), dict(foreign)
    names = {word.subject: english.get((word.start, word.end), word.text) for word in words}
    changed = {word.subject: names[word.subject] for word in words if names[word.subject] != word.text}
    return WordNote("reads_english", {}, (Fix(text, 0, len(prompt), text, changed),))


def can_fix(prompt: str) -> bool:
    """Whether fixes fit a prompt as it was typed: triggers would be lost."""
    return TRIGGER not in prompt


def _owners(span: Span, words: Sequence[Word]) -> list[int]:
    return [word.subject for word in words if overlap(span, (word.start, word.end))]


def _runs(prompt: str, spans: Sequence[Span], spelled: Callable[[str], list[str]]) -> Iterator[Span]:
    """Join words with nothing but blanks between; a word that has near ones stays alone."""
    run: Span | None = None
    for span in spans:
        alone = bool(spelled(prompt[slice(*span)]))
        if run is not None and (alone or not prompt[run[1] : span[0]].isspace()):
            yield run
            run = None
        if alone:
            yield span
        else:
            run = (run[0] if run else span[0], span[1])
    if run is not None:
        yield run


def _words_before(prompt: str, place: int) -> list[tuple[str, int]]:
    """Return up to three words before a place with their starts, the nearest first; only blanks are between."""
    found: list[tuple[str, int]] = []
    for match in reversed(list(WORD.finditer(prompt, 0, place))):
        if len(found) == 3 or not prompt[match.end() : place].isspace():
            break
        found.append((match.group(), match.start()))
        place = match.start()
    return found


def _is_style(prompt: str, run: Span) -> bool:
    """Whether words stand where a style does, as in "an oil painting of"."""
    return re.match(r"\s+of\b", prompt[run[1] :]) is not None


def _styled(prompt: str, run: Span) -> Span:
    """Return the span of a style with its article and "of"."""
    before = _words_before(prompt, run[0])
    start = before[0][1] if before and fold(before[0][0]) in ARTICLES else run[0]
    return start, run[1] + len(prompt[run[1] :].split("of", 1)[0]) + len("of")


def _left_out(prompt: str, runs: Sequence[Span]) -> str:
    """Return a prompt without some words, and without what belongs to them and the commas that they leave behind."""
    kept, end = "", 0
    for start, stop in (_styled(prompt, run) if _is_style(prompt, run) else run for run in runs):
        kept, end = kept + prompt[end:start], stop
    parts = (part.strip(" -:;") for part in (kept + prompt[end:]).split(","))
    return ", ".join(re.sub(r"\s+", " ", part) for part in parts if part)


def _reading_notes(prompt: str, reading: PromptReading | None) -> Iterator[WordNote]:
    if reading is not None and reading.tokens > reading.limit:
        unread = sum(match.end() > reading.end for match in WORD.finditer(prompt))
        counts = {"n": unread, "limit": reading.limit, "tokens": reading.tokens}
        yield WordNote("unread_word" if unread == 1 else "unread_words", counts)
