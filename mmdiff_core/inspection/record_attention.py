"""Attention maps of any word from a stock pipeline of diffusers, which makes the images that it would make anyway.

::

    with record_attention(pipe) as maps:
        image = pipe("a cat on the beach").images[0]
    maps.at("cat")  # (h, w) float32
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from diffusers import DiffusionPipeline, UNet2DConditionModel
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from mmdiff_core.errors import ModelError, PromptError
from mmdiff_core.inspection.memory_budget import DEFAULT_BUDGET
from mmdiff_core.inspection.token_collector import TokenRecording
from mmdiff_core.inspection.token_maps import Scale, TokenMaps
from mmdiff_core.inspection.token_recorder import InspectedCall, TokenRecorder
from mmdiff_core.inspection.token_table import concept_places, read_tokens
from mmdiff_core.types import Word


class RecordedAttention(Sequence[TokenMaps]):
    """The maps of each image of a pipeline's last call, which grow while it runs.

    With several images, they are in the order of the pipeline's; :meth:`at` is of one of them.
    """

    def __init__(self, recorder: TokenRecorder) -> None:
        self._recorder = recorder

    def __len__(self) -> int:
        return len(self._recorder.images)

    def __getitem__(self, index: Any) -> Any:
        return self._recorder.images[index]

    @property
    def images(self) -> tuple[TokenMaps, ...]:
        """Return the maps of each image."""
        return self._recorder.images

    @property
    def dropped(self) -> str:
        """Return what the memory budget did not allow to keep, in a sentence; empty if all was kept."""
        return self.images[0].dropped if self.images else ""

    def at(
        self,
        name: str | int | Word,
        step: int | Collection[int] | None = None,
        layer: str | Collection[str] | None = None,
        head: int | None = None,
        scale: Scale = "share",
        image: int = 0,
    ) -> np.ndarray:
        """Return one map (h, w) float32 of an image; see :meth:`TokenMaps.at`.

        Raises:
            PromptError: no call has been recorded, or there is no such word or image.
            SettingsError: there is no such step, layer, head or scale.
        """
        if not 0 <= image < len(self):
            raise PromptError(f"There is no image {image}: {len(self)} were recorded. Call the pipeline first.")
        return self.images[image].at(name, step, layer, head, scale)


@contextmanager
def record_attention(
    pipe: DiffusionPipeline,
    words: Sequence[str] | None = None,
    concepts: Sequence[str] = (),
    *,
    per_head: bool = False,
    layers: Collection[str] | None = None,
    steps: Collection[int] | None = None,
    budget: str | int | None = DEFAULT_BUDGET,
    self_attention: tuple[str, int] | None = None,
    prompt: str | Sequence[str] | None = None,
) -> Iterator[RecordedAttention]:
    """Record the attention of a stock pipeline's calls to their prompts, until the context ends.

    The images are the same, bit for bit. Everything is of the last call. Text to image, image to image, inpainting and
    ControlNet of Stable Diffusion 1.x, 2.x and XL, at any size, with and without guidance, with LoRAs, IP-Adapters or
    attention slicing; a batch of prompts, and several images for each.

    Args:
        pipe: the pipeline.
        words, concepts, per_head, layers, steps, budget, self_attention: what to record; see :class:`TokenRecording`.
        prompt: where the pipeline is called with ``prompt_embeds``: the text that they are of, or the texts.

    Raises:
        ModelError: here, the pipeline is of another kind; in a call, its rows or steps cannot be told apart, or it
            was given ``prompt_embeds`` and the recording no ``prompt``.
        PromptError: in a call, a word is not in the prompt.
        SettingsError: there is no such layer or, in a call, no such step; or the budget is too small or no size.
    """
    recording = TokenRecording(words, concepts, per_head, layers, steps, budget, self_attention)
    recorder = TokenRecorder(_unet_of(pipe), recording)
    reader = _CallReader(pipe, concepts, [prompt] if isinstance(prompt, str) else prompt)

    def encode_prompt(*args: Any, **kwargs: Any) -> Any:
        encoded = reader.stock(*args, **kwargs)
        recorder.begin_call(reader.read(args, kwargs, encoded))
        return encoded

    replaced = pipe.__dict__.get("encode_prompt")
    pipe.__dict__["encode_prompt"] = encode_prompt
    try:
        yield RecordedAttention(recorder)
    finally:
        recorder.close()
        if replaced is None:
            del pipe.__dict__["encode_prompt"]
        else:
            pipe.__dict__["encode_prompt"] = replaced


class _CallReader:
    """Reads from a pipeline's call of its ``encode_prompt`` what it is about to show.

    Args:
        pipe: the pipeline.
        concepts: of :func:`record_attention`.
        prompts: the texts of encoded prompts.
    """

    def __init__(
        self,
        pipe: DiffusionPipeline,
        concepts: Sequence[str],
        prompts: Sequence[str] | None,
    ) -> None:
        self.stock = pipe.encode_prompt
        self._pipe, self._prompts = pipe, prompts
        self._concepts = tuple(concepts)
        self._tokenizer: PreTrainedTokenizerBase = getattr(pipe, "tokenizer", None) or pipe.tokenizer_2

    def read(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], encoded: tuple[Any, ...]) -> InspectedCall:
        """Return a call's prompts. Args: what ``encode_prompt`` was given, and what it returned."""
        given = inspect.signature(self.stock).bind(*args, **kwargs).arguments
        states: Tensor = encoded[0]  # (images, T, D)
        prompts = self._prompts_of(given, len(states))
        tables = [read_tokens(self._tokenizer, prompt, states.shape[1]) for prompt in prompts]
        return InspectedCall(tuple(tables), self._pipe.scheduler, states, tuple(self._encode_concepts(given)))

    def _prompts_of(self, given: Mapping[str, Any], images: int) -> list[str]:
        """Return the prompt of each image: a pipeline makes all images of a prompt one after the other."""
        prompt = given.get("prompt")
        texts = [prompt] if isinstance(prompt, str) else list(prompt or self._prompts or ())
        if not texts:
            raise ModelError(
                "The pipeline was called with prompt_embeds, whose words are unknown: give the text, as in "
                'record_attention(pipe, prompt="a cat on the beach").'
            )
        if images % len(texts):
            raise ModelError(f"{images} images cannot be shared among {len(texts)} prompts: give one text per prompt.")
        return [text for text in texts for _ in range(images // len(texts))]

    def _encode_concepts(self, given: Mapping[str, Any]) -> Iterator[Tensor]:
        """Yield each concept's tokens, encoded by themselves."""
        passed = {name: given[name] for name in ("device", "clip_skip", "lora_scale") if given.get(name) is not None}
        passed.setdefault("device", self._pipe._execution_device)
        for name in self._concepts:
            places = concept_places(self._tokenizer, name)
            encoded = self.stock(prompt=name, num_images_per_prompt=1, do_classifier_free_guidance=False, **passed)
            yield encoded[0][:, places]


def _unet_of(pipe: DiffusionPipeline) -> UNet2DConditionModel:
    """Return a pipeline's UNet; refuse a pipeline whose calls cannot be read."""
    unet = getattr(pipe, "unet", None)
    if not hasattr(pipe, "encode_prompt") or not isinstance(unet, UNet2DConditionModel):
        raise ModelError(
            f"The attention of a {type(pipe).__name__} cannot be recorded: give a pipeline of Stable Diffusion 1.x, "
            "2.x or XL."
        )
    return unet
