"""Where an image attended to each token of its prompt: a value that is asked by word, step, layer and head."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import IO, Literal, TypeVar, cast, get_args

import numpy as np
import torch
from torch import Tensor

from mmdiff_core.encoders.name_matching import distinct_names, fold, overlap
from mmdiff_core.encoders.prompt import other_words
from mmdiff_core.errors import PromptError, SettingsError
from mmdiff_core.inspection.self_attention import SelfAttention
from mmdiff_core.inspection.token_table import PromptToken, TokenKind, TokenTable
from mmdiff_core.maps.attention_maps import average_maps, shrunk
from mmdiff_core.maps.npz_reading import check_maps, named_shape_errors, read_npz
from mmdiff_core.types import Word

Scale = Literal["share", "among_words", "contrast", "z"]
SCALES: tuple[Scale, ...] = get_args(Scale)
SCALE_NAMES: dict[Scale, str] = {
    "share": "share of the attention",
    "among_words": "share among the words",
    "contrast": "difference from the words' mean",
    "z": "standard deviations from its mean",
}
MAX_NAMED = 8  # words, layers or steps in a message


@dataclass(frozen=True)
class TokenStep:
    """The maps of one layer in one step, on the host."""

    step: int  # 0-based
    layer: str
    shares: Tensor  # (rows + concepts, h, w) or (rows + concepts, H, h, w) float16

    @property
    def size(self) -> tuple[int, int]:
        """Return (h, w)."""
        return int(self.shares.shape[-2]), int(self.shares.shape[-1])


@dataclass(frozen=True)
class TokenMaps:
    """The attention of one image to its prompt. Immutable.

    The maps are those of the conditional half. A token's value at a pixel is its share of the softmax there, the mean
    over the heads unless these were kept apart.

    Attributes:
        table: the prompt's tokens, one per row of the maps.
        concepts: words that are not in the prompt; their rows follow those of the table.
        records: one per step and layer.
        steps_made: the steps of the run, of which some may not have been kept.
        looks: the self-attention of one layer in one step, if it was asked for and has been reached.
        dropped: what the memory budget did not allow to keep, in a sentence; empty if all was kept.
    """

    table: TokenTable
    concepts: tuple[str, ...] = ()
    records: tuple[TokenStep, ...] = field(default=(), repr=False)
    steps_made: int = 0
    dropped: str = ""
    looks: SelfAttention | None = None

    @property
    def prompt(self) -> str:
        """Return the prompt as the text encoder got it."""
        return self.table.prompt

    @property
    def words(self) -> tuple[Word, ...]:
        """Return the words of the prompt that the text encoder read, in order."""
        return self.table.words

    @property
    def names(self) -> dict[str, str | Word]:
        """Return what can be asked for of words and concepts: what :meth:`at` takes, by names that are all distinct."""
        recorded = [word for word in self.words if self.table.rows_of(word)]
        labels = distinct_names([*(word.text for word in recorded), *self.concepts])
        return dict(zip(labels, [*recorded, *self.concepts], strict=True))

    @property
    def steps(self) -> tuple[int, ...]:
        """Return the steps that were kept, counted from 0."""
        return tuple(sorted({record.step for record in self.records}))

    @property
    def layers(self) -> dict[str, tuple[int, int]]:
        """Return the size (h, w) of every layer, as it was kept, in the order of the network."""
        return {record.layer: record.size for record in self.records}

    @property
    def heads(self) -> dict[str, int]:
        """Return the number of heads of every layer whose heads were kept apart."""
        return {record.layer: len(record.shares[0]) for record in self.records if record.shares.ndim == 4}

    @property
    def size(self) -> tuple[int, int]:
        """Return (h, w) of the finest layer."""
        return max(self.layers.values(), key=lambda size: size[0] * size[1])

    @property
    def nbytes(self) -> int:
        """Return the memory that the maps take, in bytes."""
        return sum(record.shares.nbytes for record in self.records) + (0 if self.looks is None else self.looks.nbytes)

    def at(
        self,
        name: str | int | Word,
        step: int | Collection[int] | None = None,
        layer: str | Collection[str] | None = None,
        head: int | None = None,
        scale: Scale = "share",
    ) -> np.ndarray:
        """Return one map (h, w) float32: of steps and layers, averaged; by default of all.

        Several layers are enlarged bilinearly to the finest of them before they are averaged; a single layer keeps its
        own size.

        Args:
            name: a word of the prompt or several in a row, a concept, ``<start>``, ``<end>``, ``<padding>``, or
                ``<rest>``, which is all that is no word; one of ``words``; or a row of ``table.tokens``.
            step: counted from 0; one or several.
            layer: of ``layers``; one or several.
            head: where heads were kept apart; else the mean over heads.
            scale: ``share`` of the attention, from 0 to 1: all tokens together have 1 at each pixel. ``among_words``:
                its share of what it and all words of the prompt have together. ``contrast``: its share minus the mean
                of the words'.
                ``z``: its share as standard deviations from its mean over the image; 0 where it is the same all over.

        Raises:
            PromptError: there is no such word.
            SettingsError: there is no such step, layer, head or scale.
        """
        if scale not in SCALES:
            raise SettingsError(f'There is no scale "{scale}": choose one of {", ".join(SCALES)}.')
        rows = self.rows_of(name)
        shares = self.average(step, layer, head)
        values = shares[list(rows)].sum(0)
        words = shares[list(self.table.word_rows)].sum(0)
        if scale == "among_words":
            own = shares[[row for row in rows if row in self.table.word_rows]].sum(0)
            values = values / (words + values - own).clamp(min=1e-8)
        elif scale == "contrast":
            values = values - words / max(len(self.words), 1)
        elif scale == "z":
            spread = values.std(correction=0)
            values = (values - values.mean()) / spread if spread > 1e-8 else torch.zeros_like(values)
        return values.numpy()

    def average(
        self,
        step: int | Collection[int] | None = None,
        layer: str | Collection[str] | None = None,
        head: int | None = None,
    ) -> Tensor:
        """Return the shares of all rows, those of concepts last, (rows + concepts, h, w) float32; args as :meth:`at`.

        Raises:
            SettingsError: as :meth:`at`.
        """
        steps = _chosen("step", step, self.steps)
        layers = _chosen("layer", layer, tuple(self.layers))
        maps = [self._of_head(r, head) for r in self.records if r.step in steps and r.layer in layers]
        if not maps:
            raise SettingsError("Nothing was recorded yet: ask after the first step.")
        size = max((self.layers[name] for name in layers), key=lambda size: size[0] * size[1])
        return average_maps(maps, size)

    def looks_from(self, x: float, y: float) -> np.ndarray:
        """Return where a pixel looks in the image itself; see :meth:`SelfAttention.looks_from`.

        Raises:
            SettingsError: no self-attention was recorded, or the point is outside of the image.
        """
        if self.looks is None:
            raise SettingsError(
                "No self-attention was recorded: name a layer and a step, as self_attention=(layer, 0)."
            )
        return self.looks.looks_from(x, y)

    def to_npz(self, path: str | PathLike[str] | IO[bytes]) -> None:
        """Write every map, compressed.

        ``shares/<layer>`` is (steps, rows, h, w) float16, or (steps, rows, heads, h, w). ``steps`` are counted from 0;
        ``rows`` names each row, ``kinds`` says what it is: start, word, sign, others, end, padding or concept; and
        ``characters`` (rows, 2) is where it stands in ``prompt``, -1 where it does not. ``self_attention`` is (h * w,
        h * w), a row for each pixel that looks; ``self_attention_of`` names its layer, step and size.
        """
        tokens = self.table.tokens
        none = [(-1, -1)] * len(self.concepts)
        arrays: dict[str, np.ndarray] = {
            "prompt": np.array(self.prompt),
            "steps": np.array(self.steps),
            "rows": np.array([*(token.text for token in tokens), *self.concepts]),
            "kinds": np.array([*(token.kind for token in tokens), *["concept"] * len(self.concepts)]),
            "characters": np.array([*(token.span or (-1, -1) for token in tokens), *none]),
        }
        for layer in self.layers:
            of_steps = sorted((r for r in self.records if r.layer == layer), key=lambda record: record.step)
            arrays[f"shares/{layer}"] = torch.stack([record.shares for record in of_steps]).numpy()
        if self.looks is not None:
            looks = self.looks
            arrays["self_attention"] = looks.weights.numpy()
            arrays["self_attention_of"] = np.array([looks.layer, *map(str, (looks.step, *looks.size))])
        np.savez_compressed(path, allow_pickle=False, **arrays)

    @classmethod
    def from_npz(cls, file: str | PathLike[str] | bytes) -> TokenMaps:
        """Read what :meth:`to_npz` wrote, from a path or from what is in the file; without self-attention.

        Its rows know where they stand in the prompt, but not which tokens of the text encoder they are of.

        Raises:
            SettingsError: it wrote something else.
        """
        arrays = read_npz(file)
        with named_shape_errors():
            prompt, steps = str(arrays["prompt"]), [int(step) for step in arrays["steps"]]
            rows = list(zip(arrays["kinds"], arrays["rows"], arrays["characters"], strict=True))
            tokens = tuple(_read_token(*row) for row in rows if row[0] != "concept")
            concepts = tuple(str(text) for kind, text, _ in rows[len(tokens) :])
            layers = {name.removeprefix("shares/"): x for name, x in arrays.items() if name.startswith("shares/")}
            for values in layers.values():
                check_maps(values, len(steps), len(rows))
            if not steps or not layers or not all(np.isfinite(values).all() for values in layers.values()):
                raise ValueError("no maps")
            words = tuple(
                word
                for word in other_words(prompt, ())
                if any(token.span and overlap(token.span, (word.start, word.end)) for token in tokens)
            )
        records = (
            TokenStep(step, layer, torch.from_numpy(values[at]))
            for at, step in enumerate(steps)
            for layer, values in layers.items()
        )
        return cls(TokenTable(prompt, 0, tokens, words), concepts, tuple(records), max(steps) + 1)

    def averaged(self, side: int) -> TokenMaps:
        """Return one map for each row, over all steps, layers and heads, of at most ``side`` pixels a side."""
        if not self.records:
            return self
        shares = shrunk(self.average(), side).half()
        return replace(self, records=(TokenStep(0, "all", shares),), looks=None)

    def rows_of(self, name: str | int | Word) -> tuple[int, ...]:
        """Return the rows that a name stands for; see :meth:`at`.

        Raises:
            PromptError: there is no such word.
        """
        count = len(self.table.tokens)
        if isinstance(name, int):
            if not 0 <= name < count:
                raise PromptError(f"There is no row {name}: the prompt has {count} rows, counted from 0.")
            return (name,)
        rows = self.table.rows_of(name)
        folded = [fold(concept) for concept in self.concepts]
        if not rows and isinstance(name, str) and fold(name) in folded:
            return (count + folded.index(fold(name)),)
        if not rows:
            text = name if isinstance(name, str) else name.text
            shown = [f'"{word.text}"' for word in self.words[:MAX_NAMED]]
            raise PromptError(
                f'There is no map of "{text}": the words of the prompt are {", ".join(shown)}. Record another word as '
                "a concept."
            )
        return rows

    def _of_head(self, record: TokenStep, head: int | None) -> Tensor:
        """Return (rows, h, w) of a record."""
        if record.shares.ndim == 3:
            if head is not None:
                raise SettingsError("The heads were averaged: record them with per_head=True.")
            return record.shares
        heads = record.shares.shape[1]
        if head is not None and not 0 <= head < heads:
            raise SettingsError(f"The layer {record.layer} has the heads 0 to {heads - 1}, but not {head}.")
        return record.shares.float().mean(1) if head is None else record.shares[:, head]


def _read_token(kind: str, text: str, span: np.ndarray) -> PromptToken:
    start, end = map(int, span)
    if kind not in get_args(TokenKind):
        raise ValueError("no kind of token")
    return PromptToken(cast(TokenKind, str(kind)), str(text), (), None if start < 0 else (start, end))


K = TypeVar("K", int, str)


def _chosen(what: str, wanted: K | Collection[K] | None, known: tuple[K, ...]) -> tuple[K, ...]:
    """Return the steps or layers that were asked for; all for None."""
    if wanted is None:
        return known
    chosen: tuple[K, ...] = (wanted,) if isinstance(wanted, int | str) else tuple(wanted)
    missing = [each for each in chosen if each not in known]
    if missing or not chosen:
        named = ", ".join(map(str, known[:MAX_NAMED])) + (" and others" if len(known) > MAX_NAMED else "")
        raise SettingsError(f"There is no {what} {', '.join(map(str, missing))}: there are {named or 'none yet'}.")
    return chosen
