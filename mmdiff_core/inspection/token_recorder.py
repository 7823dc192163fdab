"""From the queries and keys of a call to the maps of each of its images."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from diffusers import SchedulerMixin, UNet2DConditionModel
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmdiff_core.backbones.processors import LayerSizes, cross_attention_layers, layer_sizes
from mmdiff_core.errors import ModelError, PromptError, SettingsError
from mmdiff_core.inspection.attention_tap import AttentionTap, StepCounter
from mmdiff_core.inspection.memory_budget import DEFAULT_BUDGET, Reduction, fit_budget, read_bytes
from mmdiff_core.inspection.token_maps import TokenMaps, TokenStep
from mmdiff_core.inspection.token_table import TokenTable
from mmdiff_core.maps.attention_maps import to_host
from mmdiff_core.nn.attention import concept_maps, split_heads, token_maps


@dataclass(frozen=True)
class TokenRecording:
    """What to record of each token.

    Attributes:
        per_head: keep the heads apart, else they are averaged.
        layers: cross-attention layers by their paths; None: all.
        steps: counted from 0; None: all.
        budget: the memory that the maps of a call may take, such as ``200MB`` or a number of bytes; None: any.
    """

    per_head: bool = False
    layers: Collection[str] | None = None
    steps: Collection[int] | None = None
    budget: str | int | None = DEFAULT_BUDGET


@dataclass(frozen=True)
class Concept:
    """A word that is not in the prompt: its tokens as the text encoder returns them, (1, tokens, D)."""

    name: str
    states: Tensor


@dataclass(frozen=True)
class InspectedCall:
    """The prompts of a call.

    Attributes:
        tables: one per image.
        scheduler: of the call.
        states: (images, T, D) of the prompts, where it is known: tells the conditional rows of the UNet's batch from
            the others. None: they are the last.
        concepts: words that are not in the prompts.
    """

    tables: tuple[TokenTable, ...]
    scheduler: SchedulerMixin
    states: Tensor | None = None
    concepts: tuple[Concept, ...] = ()


class TokenRecorder:
    """Records the calls of a UNet, until :meth:`close`; each call in the place of the one before.

    Args:
        unet: of Stable Diffusion's kind.
        recording: what to record.

    Raises:
        ModelError: the UNet has attention layers of another kind.
        SettingsError: there is no such layer, or the budget cannot be read.
    """

    def __init__(self, unet: UNet2DConditionModel, recording: TokenRecording) -> None:
        self._unet, self._recording = unet, recording
        self._budget = None if recording.budget is None else read_bytes(recording.budget)
        known = [layer.path for layer in cross_attention_layers(unet)]
        unknown = [name for name in recording.layers or () if name not in known]
        if unknown:
            raise SettingsError(f'There is no cross-attention layer "{unknown[0]}": there are {", ".join(known)}.')
        self._paths = [path for path in known if recording.layers is None or path in recording.layers]
        self._tap: AttentionTap | None = None
        self.images: tuple[TokenMaps, ...] = ()

    def begin_call(self, call: InspectedCall) -> None:
        """Forget the last call and get ready for the next."""
        self.close()
        # Anew for each call, since loading a LoRA puts other modules into the place of the projections.
        self._tap = AttentionTap(self._unet, self._paths, self._begin_forward, self._take, self._end_forward)
        self._call = call
        names = tuple(concept.name for concept in call.concepts)
        self.images = tuple(TokenMaps(table, names) for table in call.tables)
        self._groups = pad_sequence([table.groups for table in call.tables], batch_first=True)  # (images, rows, T)
        self._counter: StepCounter | None = None
        self._reduction: Reduction | None = None
        self._concept_keys: dict[str, tuple[Tensor, ...]] = {}
        self._step: int | None = None

    def close(self) -> None:
        """Leave the UNet as it was; the maps stay."""
        if self._tap is not None:
            self._tap.close()
            self._tap = None

    def _begin_forward(self, latents: Tensor, timestep: Tensor | float, states: Tensor) -> None:
        time = float(timestep.flatten()[0]) if isinstance(timestep, Tensor) else float(timestep)
        if self._counter is None:
            self._counter = StepCounter(self._call.scheduler, time)
            self._wanted = self._wanted_steps(self._counter.steps)
            self._from_end = self._conditional_block(states)
        step = self._counter.count(time)
        self._step = step if step is not None and self._keeps(step) else None
        count = len(self.images)
        start = len(states) - (self._from_end + 1) * count
        if len(latents) % count or start < 0:
            raise ModelError(_OTHER_ROWS.format(rows=len(latents), images=count))
        self._rows = slice(start, start + count)
        self._sizes: LayerSizes = layer_sizes(self._unet, latents.shape[-2], latents.shape[-1], self._paths)
        self._found: dict[str, Tensor] = {}

    def _wanted_steps(self, made: int) -> tuple[int, ...]:
        wanted = range(made) if self._recording.steps is None else sorted(set(self._recording.steps))
        beyond = [step for step in wanted if not 0 <= step < made]
        if beyond:
            raise SettingsError(f"There is no step {beyond[0]} to record: the call makes {made}, counted from 0.")
        return tuple(wanted)

    def _keeps(self, step: int) -> bool:
        if step not in self._wanted:
            return False
        return self._reduction is None or self._reduction.keeps(self._wanted.index(step))

    def _conditional_block(self, states: Tensor) -> int:
        """Return which block of the batch, of one row per image, has the prompts' states; counted from the last."""
        blocks = torch.split(states, len(self.images))[::-1]
        known = self._call.states
        if known is None:
            return 0
        found = (i for i, block in enumerate(blocks) if block.shape == known.shape and torch.equal(block, known))
        return next(found, 0)

    def _take(self, path: str, query: Tensor, key: Tensor) -> None:
        if self._step is None or path in self._found:
            return
        attn = cast(Any, self._unet.get_submodule(path))
        query, key = split_heads(query[self._rows], attn.heads), split_heads(key[self._rows], attn.heads)
        if key.shape[2] != self._groups.shape[-1]:
            raise ModelError(
                f"The UNet reads {key.shape[2]} tokens and the prompt has {self._groups.shape[-1]}: its attention "
                "cannot be told by token."
            )
        self._groups = self._groups.to(query.device)
        shares = token_maps(query, key, self._groups, self._recording.per_head)
        if self._call.concepts:
            keys = self._keys_of_concepts(path, attn)
            shares = torch.cat([shares, concept_maps(query, key, keys, self._recording.per_head)], dim=1)
        shares = torch.unflatten(shares, -1, self._sizes[path])
        self._found[path] = (self._reduction or Reduction()).shrink(shares)

    def _keys_of_concepts(self, path: str, attn: Any) -> tuple[Tensor, ...]:
        """Return the keys (1, H, tokens, d) of each concept in a layer, once a call."""
        if path not in self._concept_keys:
            states = [concept.states for concept in self._call.concepts]
            key = split_heads(attn.to_k(torch.cat(states, dim=1)).detach(), attn.heads)
            self._concept_keys[path] = torch.split(key, [each.shape[1] for each in states], dim=2)
        return self._concept_keys[path]

    def _end_forward(self) -> None:
        if self._step is None:
            return
        if not self._found:
            raise ModelError(_NOTHING_SEEN)
        if self._reduction is None:
            self._fit(self._found)
        hosted = to_host(list(self._found.values()))
        for index, image in enumerate(self.images):
            rows = self._rows_of(image, hosted[0].shape[1])
            new = [
                TokenStep(self._step, path, x[index][rows].clone()) for path, x in zip(self._found, hosted, strict=True)
            ]
            self._replace(index, replace(image, records=(*image.records, *new)))
        self._step = None

    def _fit(self, found: Mapping[str, Tensor]) -> None:
        """Decide, after the first forward, what is kept of all of them."""
        assert self._counter is not None
        made, steps, dropped = self._counter.steps, len(self._wanted), ""
        self._reduction = Reduction()
        if self._budget is not None:
            layers = [(self._sizes[path], x[..., 0, 0].numel()) for path, x in found.items()]
            self._reduction = fit_budget(layers, steps, self._budget)
            dropped = self._reduction.describe([size for size, _ in layers], steps)
            self._found = {path: self._reduction.shrink(x) for path, x in found.items()}
        self.images = tuple(replace(image, steps_made=made, dropped=dropped) for image in self.images)

    def _rows_of(self, image: TokenMaps, rows: int) -> list[int]:
        """Return an image's own rows, without the padding between prompts of several lengths."""
        tokens, concepts = len(image.table.tokens), len(image.concepts)
        return [*range(tokens), *range(rows - concepts, rows)]

    def _replace(self, index: int, image: TokenMaps) -> None:
        self.images = (*self.images[:index], image, *self.images[index + 1 :])


_OTHER_ROWS = (
    "The UNet is called with {rows} rows for {images} images, so that the conditional ones cannot be told from the "
    "others: the attention of this pipeline cannot be recorded."
)
_NOTHING_SEEN = (
    "No attention layer was seen: open the recording before the UNet is compiled, and without an adapter's condition, "
    "which records its own maps."
)


def tables_for(tables: Sequence[TokenTable], words: Sequence[str] | None) -> tuple[TokenTable, ...]:
    """Return the tables of a call's images with what was asked for in rows of their own; None: every token.

    Raises:
        PromptError: a word is in none of the prompts.
    """
    if words is None:
        return tuple(tables)
    for word in words:
        if not any(table.rows_of(word) for table in tables):
            raise PromptError(
                f'"{word}" is not in the prompt "{tables[0].prompt}": record it as a concept, or write it as it stands.'
            )
    return tuple(table.only(words) for table in tables)
