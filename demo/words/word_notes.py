"""What is said about single words of a prompt: those that mean nothing to the model, and those that it does not read.

Each note comes with changes that one click makes: the nearest words that the model knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from demo.words.counted_toys import CountedToys, counted_toys, is_number
from demo.words.english import ARTICLES, DETERMINERS, FUNCTION_WORDS, POSSESSIVES, with_article
from demo.words.leaving_out import leave_out, qualifies
from demo.words.notes import Fix, PromptNotes, WordNote, can_fix, shown_word, typed_notes, unknown_note
from demo.words.places import near_places, place_span, words_before
from demo.words.spelling import near_words, sign_name
from demo.words.translator import Translation, Translator
from mmdiff_core.encoders.name_matching import WORD, Span, fold, nearest_span, occurrences, overlap
from mmdiff_core.encoders.prompt import PromptReading, read_length
from mmdiff_core.encoders.prompt_weights import PlainPrompt
from mmdiff_core.errors import PromptError
from mmdiff_core.toyworld.scenes.known_phrases import KnownPhrases
from mmdiff_core.toyworld.scenes.vocabulary import Vocabulary
from mmdiff_core.types import Word

MAX_FIXES = 4  # chips of a note
MAX_NOTES = 3  # with chips; further unknown words share one
MAX_UNKNOWN = 40  # words that are looked at


class WordReader:
    """Reads prompts as a model would.

    Args:
        vocabulary: what the model was trained on; None for a model of the real world, to which no word is unknown.
        tokenizers: of the model's text encoders.
    """

    def __init__(self, vocabulary: Vocabulary | None = None, tokenizers: Sequence[Any] = ()) -> None:
        self.known = None if vocabulary is None else KnownPhrases(vocabulary)
        self.tokenizers = tokenizers
        self.translator = Translator()

    def knows(self, text: str) -> bool:
        """Whether every word of a text means something to the model, as it is written."""
        return self.known is None or all(self._knows(match.group()) for match in WORD.finditer(text))

    def toys_in(self, prompt: str, names: Sequence[str]) -> list[str]:
        """Return the toys of a prompt, as it writes them, without those that names stand for, one each."""
        taken = list[Span]()
        for name in names:
            taken += [span for span in occurrences(prompt, name) if not any(overlap(span, other) for other in taken)][
                :1
            ]
        toys = list[Span]()
        for word in sorted(() if self.known is None else self.known.class_words, key=len, reverse=True):
            found = occurrences(prompt, word)
            toys += [span for span in found if not any(overlap(span, other) for other in (*taken, *toys))]
        return [prompt[slice(*span)] for span in sorted(toys)]

    def read(self, prompt: str, words: Sequence[Word], missing: Mapping[int, str]) -> PromptNotes:
        """Return what there is to say about a prompt.

        Args:
            prompt: without triggers.
            words: of the subjects that are in it.
            missing: the names of those that are not, by subject.
        """
        plain = _plain(prompt)
        if plain is None:
            return self._read(prompt, words, missing)
        placed = [(word, plain.read((word.start, word.end))) for word in words]
        read = [Word(word.subject, plain.text[slice(*span)], *span) for word, span in placed]
        notes, translation = self._read(plain.text, read, missing), self._offered(plain.text)
        return typed_notes(notes, prompt, plain, {} if translation is None else translation.words)

    def _read(self, prompt: str, words: Sequence[Word], missing: Mapping[int, str]) -> PromptNotes:
        near = self._near(prompt, words, missing)
        unknown = tuple(self.unknown(prompt))
        reading = read_length(self.tokenizers, prompt)
        read = unknown if reading is None else [span for span in unknown if span[1] <= reading.end]
        notes = (
            *self._unknown_notes(prompt, read, words, near),
            *_reading_notes(prompt, reading),
        )
        return PromptNotes(unknown, None if reading is None else reading.end, notes, near)

    # ------------------------------------------------------------ names that are nearly there

    def _near(self, prompt: str, words: Sequence[Word], missing: Mapping[int, str]) -> dict[int, Fix]:
        taken = [(word.start, word.end) for word in words]
        near: dict[int, Fix] = {}
        counted = {toys.noun: toys for toys in self._counted(prompt)}
        for subject, name in missing.items():
            span = nearest_span(prompt, name, taken)
            if span is not None:
                taken.append(span)
                near[subject] = self._together(prompt, span, subject, name)
                if span in counted:
                    near[subject] = counted[span].each_named(prompt, near[subject])
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

    def unknown(self, prompt: str) -> Iterator[Span]:
        """Yield the spans of the words that mean nothing to the model."""
        if self.known is None:
            return
        for match in WORD.finditer(prompt):
            if not self._knows(match.group()):
                yield match.span()

    def _unknown_notes(
        self, prompt: str, unknown: Sequence[Span], words: Sequence[Word], near: Mapping[int, Fix]
    ) -> Iterator[WordNote]:
        if self.known is None:
            return
        named = [*words, *(Word(subject, "", fix.start, fix.end) for subject, fix in near.items())]
        unknown = unknown[:MAX_UNKNOWN]
        translation = self._translation(prompt, unknown)
        taken = [(fix.start, fix.end) for fix in near.values()]
        if translation is not None:
            yield _translation_note(prompt, translation, named)
            taken += translation.words
        for toys in () if translation is not None else self._counted(prompt):
            yield toys.note(prompt, dict.fromkeys(_owners(toys.noun, words), toys.toy))
            taken.append(toys.span)
        unknown = [span for span in unknown if not any(overlap(span, other) for other in taken)]
        yield from self._single_notes(prompt, unknown, words, lacks_toy=not near)

    def _single_notes(
        self, prompt: str, unknown: Sequence[Span], words: Sequence[Word], lacks_toy: bool
    ) -> Iterator[WordNote]:
        """Yield a note for unknown words that known ones may replace, and one for all others that show something."""
        small = [span for span in unknown if fold(prompt[slice(*span)]) in FUNCTION_WORDS]
        noted, rest = list[Span](), list[Span]()
        for run in _runs(prompt, [span for span in unknown if span not in small], self.spelled):
            note = self._note(prompt, run, words, lacks_toy) if len(noted) < MAX_NOTES else None
            if note is not None:
                noted.append(max((fix.start, fix.end) for fix in note.fixes if not fix.is_key))
                yield note
            else:
                rest.append(run)
        if rest:
            gone = [*rest, *(span for span in small if not any(overlap(span, other) for other in noted))]
            fixes = () if any(_owners(run, words) for run in rest) else self._left_out(prompt, sorted(gone))
            yield unknown_note([prompt[slice(*run)] for run in rest], fixes)

    def _translation(self, prompt: str, unknown: Sequence[Span]) -> Translation | None:
        """Return a prompt in English; None where that has no more known words than the prompt."""
        translation = self.translator.translate(prompt, unknown)
        words = set() if translation is None else {*translation.words.values()} - DETERMINERS - {"and"}
        return translation if any(self.knows(word) for word in words) else None

    def english(self, prompt: str) -> str:
        """Return the English that is offered for a prompt; empty for none."""
        plain = _plain(prompt)
        translation = self._offered(prompt if plain is None else plain.text) if can_fix(prompt) else None
        return "" if translation is None else translation.text

    def english_fix(self, prompt: str, words: Sequence[Word]) -> Fix | None:
        """Return the change that puts a prompt, and the names of its subjects, into English; None for none."""
        notes = self.read(prompt, words, {}).notes if can_fix(prompt) else ()
        return next((note.fixes[0] for note in notes if note.key == "reads_english"), None)

    def _offered(self, prompt: str) -> Translation | None:
        return self._translation(prompt, [*self.unknown(prompt)][:MAX_UNKNOWN])

    def _counted(self, prompt: str) -> list[CountedToys]:
        return [] if self.known is None else list(counted_toys(prompt, self.known))

    def _note(self, prompt: str, run: Span, words: Sequence[Word], lacks_toy: bool) -> WordNote | None:
        """Return a note with what may stand in place of unknown words that stand together; None for nothing."""
        assert self.known is not None
        if all(map(is_number, prompt[slice(*run)].split())):
            return None
        values = {"word": shown_word(prompt[slice(*run)])}
        if spelled := self.spelled(prompt[slice(*run)], prompt):
            is_sign = sign_name(prompt[slice(*run)]) != ""
            fixes = tuple(self._fix(prompt, run, word, words, alone=is_sign) for word in spelled)
            return WordNote("near_word", values, fixes)
        if place := self._place(prompt, run, words):
            phrases = near_places(prompt[slice(*place)], self.known)[:MAX_FIXES]
            replaced = (Fix(phrase, *place, phrase) for phrase in phrases)
            return WordNote("unknown_place", values, (*replaced, *self._left_out(prompt, [place])))
        run = _with_possessives(prompt, run)
        if others := self._others(prompt, run, words, lacks_toy):
            left_out = () if _owners(run, words) else self._left_out(prompt, [run])
            return WordNote("unknown_word", values, (*others, *left_out))
        return None

    def _place(self, prompt: str, run: Span, words: Sequence[Word]) -> Span | None:
        """Return the span of a phrase for an unknown place; None where words say something else."""
        assert self.known is not None
        if _owners(run, words) or _is_style(prompt, run):
            return None
        is_name = prompt[run[0]].isupper()
        if not is_name and qualifies(prompt, run[1], self.known):
            return None
        return place_span(prompt, run, self.known)

    def _left_out(self, prompt: str, runs: Sequence[Span]) -> tuple[Fix, ...]:
        assert self.known is not None
        without = leave_out(prompt, runs, self.known)
        return (Fix("leave_words_out", 0, len(prompt), without, is_key=True),) if without else ()

    def spelled(self, word: str, text: str) -> list[str]:
        """Return the known words that a word is meant for, the nearest first; of a pictograph a toy that it shows."""
        assert self.known is not None
        if name := sign_name(word):
            shown = [toy for said, toy in self.known.class_words.items() if said in name.split()]
            return [toy for toy in shown if "+" not in name and not occurrences(text, toy)][:1]
        return near_words(word, self.known.words)[:MAX_FIXES]

    def _others(self, prompt: str, run: Span, words: Sequence[Word], lacks_toy: bool) -> tuple[Fix, ...]:
        """Return known words of the kind that the words before unknown ones ask for."""
        assert self.known is not None
        if _is_style(prompt, run):
            return tuple(Fix(phrase, *_styled(prompt, run), phrase) for phrase in self.known.styles[:MAX_FIXES])
        if not _owners(run, words) and qualifies(prompt, run[1], self.known):
            return ()
        before = words_before(prompt, run[0])
        named = {fold(match.group()) for match in WORD.finditer(prompt)}
        starts = lacks_toy and not before and named.isdisjoint(self.known.class_words)
        if _owners(run, words) or starts or self._asks_for_a_toy(prompt, before):
            free = [word for word in self.known.classes if word not in named]
            return tuple(self._fix(prompt, run, word, words, alone=True) for word in free[:MAX_FIXES])
        return ()

    def _asks_for_a_toy(self, prompt: str, before: Sequence[tuple[str, int]]) -> bool:
        """Whether words end with an article or with a relation such as "next to"."""
        assert self.known is not None
        if not before:
            return False
        word, start = before[0]
        end = start + len(word)
        related = (span for phrase in self.known.relation_phrases for span in occurrences(prompt[:end], phrase))
        return fold(word) in ARTICLES or any(span[1] == end for span in related)

    def _fix(self, prompt: str, run: Span, new: str, words: Sequence[Word], alone: bool = False) -> Fix:
        """Return the fix that writes a known word, a class with its article; ``alone``: also where it had none."""
        assert self.known is not None
        start, text = run[0], new
        before = words_before(prompt, start)
        article = before and fold(before[0][0])
        if new in self.known.class_words and article in ("a", "an"):
            start, text = before[0][1], with_article(new)
        elif article in ("a", "an") and new == f"{fold(prompt[slice(*run)])}s":
            start = before[0][1]  # more than one
        elif alone and article not in ("the", "another"):
            text = with_article(new)
        return Fix(new, start, run[1], text, dict.fromkeys(_owners(run, words), new))


def _plain(prompt: str) -> PlainPrompt | None:
    """Return a prompt without the signs of weights; None where it has none that can be read."""
    try:
        plain = PlainPrompt.of(prompt)
    except PromptError:
        return None
    return None if plain.text == prompt else plain


def _translation_note(prompt: str, translation: Translation, words: Sequence[Word]) -> WordNote:
    """Return a note with the whole prompt in English, as far as it can be said with known words."""
    text, english = translation.text, translation.words
    names = {word.subject: english.get((word.start, word.end), word.text) for word in words}
    changed = {word.subject: names[word.subject] for word in words if names[word.subject] != word.text}
    return WordNote("reads_english", {}, (Fix(text, 0, len(prompt), text, changed),))


def _owners(span: Span, words: Sequence[Word]) -> list[int]:
    return [word.subject for word in words if overlap(span, (word.start, word.end))]


def _runs(prompt: str, spans: Sequence[Span], spelled: Callable[[str, str], list[str]]) -> Iterator[Span]:
    """Join words with nothing but blanks between; a word that has near ones stays alone, and so does a pictograph."""
    run: Span | None = None
    for span in spans:
        word = prompt[slice(*span)]
        alone = bool(sign_name(word) or spelled(word, prompt))
        if run is not None and (alone or not prompt[run[1] : span[0]].isspace()):
            yield run
            run = None
        if alone:
            yield span
        else:
            run = (run[0] if run else span[0], span[1])
    if run is not None:
        yield run


def _with_possessives(prompt: str, run: Span) -> Span:
    """Return the span of words with the "my" or the like before them, in whose place an article comes."""
    before = words_before(prompt, run[0])
    return (before[0][1], run[1]) if before and fold(before[0][0]) in POSSESSIVES else run


def _is_style(prompt: str, run: Span) -> bool:
    """Whether words stand where a style does, as in "an oil painting of"."""
    return re.match(r"\s+of\b", prompt[run[1] :]) is not None


def _styled(prompt: str, run: Span) -> Span:
    """Return the span of a style with its article and "of"."""
    before = words_before(prompt, run[0])
    start = before[0][1] if before and fold(before[0][0]) in ARTICLES else run[0]
    return start, run[1] + len(prompt[run[1] :].split("of", 1)[0]) + len("of")


def _reading_notes(prompt: str, reading: PromptReading | None) -> Iterator[WordNote]:
    if reading is not None and reading.tokens > reading.limit:
        unread = sum(match.end() > reading.end for match in WORD.finditer(prompt))
        counts = {"n": unread, "limit": reading.limit, "tokens": reading.tokens}
        yield WordNote("unread_word" if unread == 1 else "unread_words", counts)
