"""Records what a pipeline's UNet attends to, whatever calls it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from diffusers import SchedulerMixin, UNet2DConditionModel
from torch import Tensor

from mmdiff_core.backbones.processors import (
    LayerSizes,
    cross_attention_layers,
    layer_sizes,
    self_attention_layers,
)
from mmdiff_core.errors import ModelError
from mmdiff_core.inspection.attention_tap import AttentionTap, StepCounter
from mmdiff_core.inspection.token_collector import TokenCollector, TokenRecording, check_recording
from mmdiff_core.inspection.token_maps import TokenMaps
from mmdiff_core.inspection.token_table import TokenTable
from mmdiff_core.nn.attention import split_heads


@dataclass(frozen=True)
class InspectedCall:
    """The prompts of a call.

    Attributes:
        tables: one per image.
        scheduler: of the call.
        states: (images, T, D) of the prompts, where it is known: tells the conditional rows of the UNet's batch from
            the others. None: they are the last.
        concepts: each concept's tokens as the text encoder returns them, (1, tokens, D).
    """

    tables: tuple[TokenTable, ...]
    scheduler: SchedulerMixin
    states: Tensor | None = None
    concepts: tuple[Tensor, ...] = ()


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
        self._unet, self.recording = unet, recording
        cross, of_pixels = cross_attention_layers(unet), self_attention_layers(unet)
        known = [layer.path for layer in cross]
        check_recording(recording, known, [layer.path for layer in of_pixels])
        self._heads = {layer.path: layer.heads for layer in (*cross, *of_pixels)}
        self._paths = [path for path in known if recording.layers is None or path in recording.layers]
        if recording.self_attention is not None:
            self._paths.append(recording.self_attention[0])
        self._tap: AttentionTap | None = None
        self._collector: TokenCollector | None = None

    @property
    def images(self) -> tuple[TokenMaps, ...]:
        """Return the maps of the last call's images, as far as it has come."""
        return () if self._collector is None else self._collector.images

    def begin_call(self, call: InspectedCall) -> None:
        """Forget the last call and get ready for the next.

        Raises:
            PromptError: a word is not in the prompt.
        """
        self.close()
        self._call, self._counter, self._recorded = call, cast("StepCounter | None", None), False
        self._collector = TokenCollector(call.tables, self.recording, self._concept_keys)
        # Anew for each call, since loading a LoRA puts other modules into the place of the projections.
        self._tap = AttentionTap(self._unet, self._paths, self._begin_forward, self._take, self._end_forward)

    def close(self) -> None:
        """Leave the UNet as it was; the maps stay."""
        if self._tap is not None:
            self._tap.close()
            self._tap = None

    def _begin_forward(self, latents: Tensor, timestep: Tensor | float, states: Tensor) -> None:
        time = float(timestep.flatten()[0]) if isinstance(timestep, Tensor) else float(timestep)
        if self._counter is None:
            self._counter = StepCounter(self._call.scheduler, time)
            self._from_end = self._conditional_block(states)
        step, collector = self._counter.count(time), cast(TokenCollector, self._collector)
        self._sizes: LayerSizes = layer_sizes(self._unet, latents.shape[-2], latents.shape[-1], self._paths)
        if self.recording.self_attention is not None:
            collector.reserve(self._sizes[self.recording.self_attention[0]])
        self._recorded = step is not None and collector.begin_step(step, self._counter.steps)
        count = len(collector.images)
        start = len(states) - (self._from_end + 1) * count
        if len(latents) % count or start < 0:
            raise ModelError(
                f"The UNet is called with {len(latents)} rows for {count} images, so that the conditional ones cannot "
                "be told from the others: the attention of this pipeline cannot be recorded."
            )
        self._rows = slice(start, start + count)

    def _conditional_block(self, states: Tensor) -> int:
        """Return which block of the batch, of one row per image, has the prompts' states; counted from the last."""
        known = self._call.states
        if known is None:
            return 0
        blocks = torch.split(states, len(known))
        found = (i for i, block in enumerate(blocks) if block.shape == known.shape and torch.equal(block, known))
        first = next(found, len(blocks) - 1)  # the first: perturbed attention guidance has another one, disturbed
        return len(blocks) - 1 - first

    def _take(self, path: str, query: Tensor, key: Tensor) -> None:
        if self._recorded and self._collector is not None:
            heads = self._heads[path]
            query, key = split_heads(query[self._rows], heads), split_heads(key[self._rows], heads)
            looks = self.recording.self_attention is not None and path == self.recording.self_attention[0]
            take = self._collector.take_self if looks else self._collector.take
            take(path, self._sizes[path], query, key)

    def _end_forward(self) -> None:
        if self._recorded and self._collector is not None:
            self._collector.end_step()
        self._recorded = False

    def _concept_keys(self, path: str) -> Sequence[Tensor]:
        states = self._call.concepts
        attn = cast(Any, self._unet.get_submodule(path))
        key = split_heads(attn.to_k(torch.cat(states, dim=1)).detach(), attn.heads)
        return torch.split(key, [each.shape[1] for each in states], dim=2)
