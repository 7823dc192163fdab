"""From the queries and keys of a run's layers to the maps of each of its images."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmdiff_core.errors import ModelError, PromptError, SettingsError
from mmdiff_core.inspection.memory_budget import DEFAULT_BUDGET, Reduction, fit_budget, megabytes, read_bytes
from mmdiff_core.inspection.self_attention import SelfAttention, check_self_attention, self_attention_bytes
from mmdiff_core.inspection.token_maps import TokenMaps, TokenStep
from mmdiff_core.inspection.token_table import TokenTable
from mmdiff_core.maps.attention_maps import to_host
from mmdiff_core.nn.token_shares import pixel_maps, token_maps

ConceptKeys = Callable[[str], Sequence[Tensor]]  # from a layer's path to each concept's keys, (1, H, tokens, d)


@dataclass(frozen=True)
class TokenRecording:
    """What to record of a prompt's tokens.

    Attributes:
        words: of the prompt; the others are recorded in one sum. None: every token by itself.
        concepts: words that are not in the prompt: where the image would look at them if they were.
        per_head: keep the heads apart, which takes as many times the memory; else they are averaged.
        layers: cross-attention layers by their paths in the UNet; None: all.
        steps: counted from 0; None: all.
        budget: the memory that the maps of a call may take, such as ``200MB`` or a number of bytes: what is kept is
            halved until it fits. None: no limit.
        self_attention: a self-attention layer by its path, and a step: where each of its pixels looks in the image. It
            takes two bytes for each pair of pixels and image, 34 MB at 64 x 64, of the budget.
    """

    words: Sequence[str] | None = None
    concepts: Sequence[str] = ()
    per_head: bool = False
    layers: Collection[str] | None = None
    steps: Collection[int] | None = None
    budget: str | int | None = DEFAULT_BUDGET
    self_attention: tuple[str, int] | None = None


def check_recording(recording: TokenRecording, known: Sequence[str], known_self: Sequence[str]) -> None:
    """Check that there are such layers, and that the budget is a size.

    Args:
        recording: what was asked for.
        known: the paths of the cross-attention layers.
        known_self: the paths of the self-attention layers.

    Raises:
        SettingsError: a layer does not exist, or the budget cannot be read.
    """
    if recording.budget is not None:
        read_bytes(recording.budget)
    check_self_attention(recording.self_attention, known_self)
    unknown = [name for name in recording.layers or () if name not in known]
    if unknown:
        raise SettingsError(f'There is no cross-attention layer "{unknown[0]}": there are {", ".join(known)}.')


class TokenCollector:
    """The maps of the images of one run, which grow with its steps.

    Args:
        tables: the prompt's tokens, one table per image.
        recording: what to record.
        concept_keys: of ``recording.concepts``; asked in the first recorded step of each layer.

    Raises:
        PromptError: a word is in none of the prompts.
    """

    def __init__(
        self, tables: Sequence[TokenTable], recording: TokenRecording, concept_keys: ConceptKeys | None = None
    ) -> None:
        self._recording, self._concept_keys = recording, concept_keys
        tables, concepts = _chosen(tables, recording.words), tuple(recording.concepts)
        self.images = tuple(TokenMaps(table, concepts) for table in tables)
        self._groups = pad_sequence([table.groups for table in tables], batch_first=True)  # (images, rows, T)
        self._keys: dict[str, Sequence[Tensor]] = {}
        self._reduction: Reduction | None = None
        self._step: int | None = None
        self._now: int | None = None
        self._reserved = 0  # bytes

    def reserve(self, size: tuple[int, int]) -> None:
        """Keep room in the budget for the self-attention of a layer of (h, w).

        Raises:
            SettingsError: it takes more than the budget.
        """
        self._reserved = self_attention_bytes(size) * len(self.images)
        budget = None if self._recording.budget is None else read_bytes(self._recording.budget)
        if budget is not None and self._reserved > budget:
            raise SettingsError(
                f"The self-attention of a layer of {size[0]} x {size[1]} takes {megabytes(self._reserved)} for "
                f"{len(self.images)} image(s), which is more than the memory budget of {megabytes(budget)}: choose a "
                "coarser layer, or raise the budget."
            )

    def begin_step(self, step: int, steps: int) -> bool:
        """Begin a step, counted from 0, of a run of ``steps``; returns whether anything of it is recorded.

        Raises:
            SettingsError: a step was asked for that the run does not make.
        """
        wanted = self._wanted(steps)
        kept = step in wanted and (self._reduction is None or self._reduction.keeps(wanted.index(step)))
        self._step, self._now, self._steps = step if kept else None, step, steps
        self._found: dict[str, Tensor] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        return kept or self._looks_now

    @property
    def _looks_now(self) -> bool:
        wanted = self._recording.self_attention
        return wanted is not None and wanted[1] == self._now

    def take_self(self, path: str, size: tuple[int, int], query: Tensor, key: Tensor) -> None:
        """Take a self-attention layer of the step; args as :meth:`take`, but the key is (images, H, h * w, d)."""
        if self._looks_now and self._recording.self_attention == (path, self._now):
            weights = to_host([pixel_maps(query, key)])[0]
            step = self._recording.self_attention[1]
            self.images = tuple(
                replace(image, looks=SelfAttention(path, step, size, weights[index]))
                for index, image in enumerate(self.images)
            )

    def take(self, path: str, size: tuple[int, int], query: Tensor, key: Tensor) -> None:
        """Take a layer of the step.

        Args:
            path: of the layer.
            size: (h, w) of its hidden states.
            query: (images, H, h * w, d) of the conditional rows.
            key: (images, H, T, d) of the text.

        Raises:
            ModelError: the text has another number of tokens than the prompt.
        """
        recording = self._recording
        if self._step is None or path in self._found or path not in (recording.layers or (path,)):
            return
        if key.shape[2] != self._groups.shape[-1]:
            raise ModelError(
                f"The UNet reads {key.shape[2]} tokens and the prompt has {self._groups.shape[-1]}: its attention "
                "cannot be told by token."
            )
        self._groups = self._groups.to(query.device)
        if path not in self._keys and recording.concepts and self._concept_keys is not None:
            self._keys[path] = self._concept_keys(path)
        shares = token_maps(query, key, self._groups, self._keys.get(path, ()), recording.per_head)
        self._sizes[path] = size
        self._found[path] = (self._reduction or Reduction()).shrink(torch.unflatten(shares, -1, size))

    def end_step(self) -> None:
        """Bring the step's maps to the host.

        Raises:
            ModelError: no layer was seen.
            SettingsError: the memory budget is too small for anything.
        """
        if self._step is None:
            return
        if not self._found:
            raise ModelError(_NOTHING_SEEN)
        if self._reduction is None:
            self._fit()
        hosted = dict(zip(self._found, to_host(list(self._found.values())), strict=True))
        step, self._step = self._step, None
        self.images = tuple(
            replace(image, records=(*image.records, *_records(step, image, index, hosted)))
            for index, image in enumerate(self.images)
        )

    def _wanted(self, made: int) -> tuple[int, ...]:
        wanted = range(made) if self._recording.steps is None else sorted(set(self._recording.steps))
        looks = () if self._recording.self_attention is None else (self._recording.self_attention[1],)
        beyond = [step for step in (*wanted, *looks) if not 0 <= step < made]
        if beyond:
            raise SettingsError(f"There is no step {beyond[0]} to record: the call makes {made}, counted from 0.")
        return tuple(wanted)

    def _fit(self) -> None:
        """Decide, in the first recorded step, what is kept of all of them."""
        budget, steps, dropped = self._recording.budget, len(self._wanted(self._steps)), ""
        self._reduction = Reduction()
        if budget is not None:
            layers = [(self._sizes[path], x[..., 0, 0].numel()) for path, x in self._found.items()]
            self._reduction = fit_budget(layers, steps, read_bytes(budget) - self._reserved)
            dropped = self._reduction.describe(list(self._sizes.values()), steps)
            self._found = {path: self._reduction.shrink(x) for path, x in self._found.items()}
        self.images = tuple(replace(image, steps_made=self._steps, dropped=dropped) for image in self.images)


def _records(step: int, image: TokenMaps, index: int, hosted: dict[str, Tensor]) -> list[TokenStep]:
    """Return an image's own rows of each layer, without the padding between prompts of several lengths."""
    tokens, concepts = len(image.table.tokens), len(image.concepts)
    records = []
    for path, maps in hosted.items():
        rows = maps.shape[1]
        records.append(TokenStep(step, path, maps[index][[*range(tokens), *range(rows - concepts, rows)]]))
    return records


def _chosen(tables: Sequence[TokenTable], words: Sequence[str] | None) -> tuple[TokenTable, ...]:
    """Return the tables with the words that were asked for in rows of their own; None: every token."""
    if words is None:
        return tuple(tables)
    for word in words:
        if not any(table.rows_of(word) for table in tables):
            raise PromptError(
                f'"{word}" is not in the prompt "{tables[0].prompt}": record it as a concept, or write it as it stands.'
            )
    return tuple(table.only(words) for table in tables)


_NOTHING_SEEN = (
    "No attention layer was seen: open the recording before the UNet is compiled, and without an adapter's condition, "
    "which records its own maps."
)
