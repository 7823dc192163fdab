"""Stable Diffusion 1.x, and every model of that shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import torch
from diffusers import AutoencoderTiny, DiffusionPipeline, SchedulerMixin, StableDiffusionPipeline
from PIL import Image
from torch import Tensor

from mmdiff_core.backbones.base import Backbone, Defaults, TextDeltas
from mmdiff_core.backbones.distillation import embed_guidance, usual_numbers
from mmdiff_core.backbones.loading import (
    load_matching_adapter,
    name_of,
    native_sizes,
    open_pipeline,
    place_networks,
)
from mmdiff_core.backbones.placement import Offloading, Placement
from mmdiff_core.backbones.preview import (
    LatentPreview,
    encode_images,
    fit_preview,
    scale_latents,
    to_images,
    unscale_latents,
)
from mmdiff_core.backbones.processors import (
    Call,
    ConditionedAttention,
    attention_paths,
    check_no_ip_adapter,
    install,
    layer_sizes,
)
from mmdiff_core.deprecation import renamed_keywords
from mmdiff_core.encoders.devices import execution_device
from mmdiff_core.encoders.image import ImageEncoder
from mmdiff_core.encoders.image_loading import find_image_encoder
from mmdiff_core.encoders.text import FusedWords, encode_text, join_states
from mmdiff_core.maps.attention_maps import Recorder
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.nn.records import Condition, PromptTokens, TextStates
from mmdiff_core.numeric_checks import check_pixels

TIMESTEP_CONDITION = "timestep_cond"  # among the added conditions: the guidance, where the UNet reads it


@dataclass(frozen=True, eq=False)
class StableDiffusion(Backbone):
    """A Stable Diffusion model with one text encoder; ``Backbone`` says what each method promises."""

    latent_preview: LatentPreview

    reads_penultimate: ClassVar[bool] = False
    stock: ClassVar[type[DiffusionPipeline]] = StableDiffusionPipeline
    stock_defaults: ClassVar[Defaults] = Defaults(steps=30, guidance=7.5)

    @classmethod
    def fields_from(cls, pipe: DiffusionPipeline) -> dict[str, Any]:
        """Return the fields that a stock pipeline fills."""
        return {
            "unet": pipe.unet,
            "vae": pipe.vae,
            "tokenizers": (pipe.tokenizer,),
            "text_encoders": (pipe.text_encoder,),
            "scheduler": pipe.scheduler,
            "sizes": native_sizes(pipe),
        }

    def around(self, pipe: DiffusionPipeline) -> Self:
        return replace(self, **self.fields_from(pipe), placement=Placement(execution_device(pipe)))

    def check_state(self) -> None:
        check_no_ip_adapter(self.unet)

    def fresh_scheduler(self) -> SchedulerMixin:
        return type(self.scheduler).from_config(self.scheduler.config)

    @property
    def max_clip_skip(self) -> int:
        layers = min(encoder.config.num_hidden_layers for encoder in self.text_encoders)
        return layers - 1 - self.reads_penultimate

    def encode_text(
        self,
        tokens: Sequence[PromptTokens],
        fused: Sequence[FusedWords | None],
        deltas: Sequence[TextDeltas],
        clip_skip: int = 0,
    ) -> TextStates:
        parts = zip(self.text_encoders, tokens, fused, deltas, strict=True)
        with self.placement.using(*self.text_encoders):
            return join_states(
                [
                    encode_text(
                        encoder, ids, words, deltas=delta, penultimate=self.reads_penultimate, clip_skip=clip_skip
                    )
                    for encoder, ids, words, delta in parts
                ]
            )

    def encode_negative(self, tokens: Sequence[PromptTokens], deltas: Sequence[TextDeltas]) -> TextStates:
        return self.encode_text(tokens, [None] * len(tokens), deltas)

    def added_conditions(self, text: TextStates, size: tuple[int, int], guidance: float = 1.0) -> Mapping[str, Tensor]:
        if not self.embeds_guidance:
            return {}
        embedded = embed_guidance(guidance, self.unet.config.time_cond_proj_dim)
        return {TIMESTEP_CONDITION: embedded.to(text.states).expand(len(text.states), -1)}

    def draw_noise(self, generator: torch.Generator, width: int, height: int) -> Tensor:
        scale = 2 ** (len(self.vae.config.block_out_channels) - 1)
        shape = (1, self.unet.config.in_channels, height // scale, width // scale)
        drawn = torch.randn(shape, generator=generator)
        return drawn.to(self.device, self.unet.dtype)

    def predict_noise(
        self, latents: Tensor, timestep: Tensor, condition: Condition, recorder: Recorder | None = None
    ) -> Tensor:
        height, width = latents.shape[-2:]
        if not self._is_ready():
            install(self.unet)
        call = Call(condition, layer_sizes(self.unet, height, width, self._attention_paths), recorder)
        added = dict(condition.added)
        timestep_condition = added.pop(TIMESTEP_CONDITION, None)
        with self.placement.using(self.unet):
            return self.unet(
                latents,
                timestep,
                encoder_hidden_states=condition.text.states,
                timestep_cond=timestep_condition,
                added_cond_kwargs=added,
                cross_attention_kwargs={"mmdiff": call},
            ).sample

    def _is_ready(self) -> bool:
        """Whether the UNet has our processors; other code that shares it may have removed them."""
        layers = map(self.unet.get_submodule, self._attention_paths)
        return all(isinstance(layer.processor, ConditionedAttention) for layer in layers)

    @cached_property
    def _attention_paths(self) -> tuple[str, ...]:
        return attention_paths(self.unet)

    def encode(self, image: Image.Image, generator: torch.Generator) -> Tensor:
        pixels = torch.from_numpy(np.asarray(image.convert("RGB"), dtype=np.float32) / 127.5 - 1)  # (h, w, 3)
        with self._ready_vae():
            mean, deviation = encode_images(self.vae, pixels.movedim(-1, 0)[None].to(self.device, self.vae.dtype))
            if not isinstance(self.vae, AutoencoderTiny):  # which has no deviation, so that nothing is drawn
                mean = mean + deviation * torch.randn(mean.shape, generator=generator).to(mean)
            return scale_latents(self.vae, mean).to(self.unet.dtype)

    def decode(self, latents: Tensor) -> list[Image.Image]:
        with self._ready_vae():
            unscaled = unscale_latents(self.vae, latents.to(self.vae.dtype))
            pixels = self.vae.decode(unscaled).sample / 2 + 0.5
        check_pixels(pixels)
        return to_images(pixels)

    @contextmanager
    def _ready_vae(self) -> Iterator[None]:
        """Have the autoencoder on the device, in a precision that it can work in."""
        with ExitStack() as ready:
            ready.enter_context(self.placement.using(self.vae))
            if self._overflows():
                ready.enter_context(self.placement.in_float32(self.vae))
            yield

    def _overflows(self) -> bool:
        """Whether the stock pipeline works in float32 because the autoencoder is not made for half precision."""
        return False

    def preview(self, latents: Tensor) -> Image.Image:
        return self.latent_preview(latents)


B = TypeVar("B", bound=StableDiffusion)


@renamed_keywords("load_stock", memory="offload")
def load_stock(
    kind: type[B],
    source: str | PathLike[str],
    adapter: str | PathLike[str] | None = None,
    image_encoder: str | PathLike[str] | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    preview: LatentPreview | None = None,
    offload: Offloading = "none",
    text_encoder_2_lora: bool = False,
) -> tuple[B, MMDiffAdapter | None]:
    """Load a stock folder or cached hub model of a kind, and an adapter for it.

    Args:
        kind: the class that runs it.
        source: folder in diffusers' format, or the name of a model that is in the hub's cache.
        adapter: the adapter's file, or the folder of the official checkpoint; without it the model is the stock one
            and knows no subjects.
        image_encoder: folder of a CLIP vision model with projection; by default the one in ``source``.
        device, dtype: where and in what precision to run. The autoencoder stays in float32 if it asks for it.
        preview: the map from latents to colour where one is known; fitted otherwise.
        offload: what to do where the device is small; see ``placement``.
        text_encoder_2_lora: apply the official LoRA of the second text encoder, which the release never does.

    Raises:
        ModelError: something is missing; the message says how to get it.
        CheckpointError: the adapter does not fit the model.
        SettingsError: the offloading mode does not suit the device.
    """
    pipe = open_pipeline(kind.stock, source, dtype)
    install(pipe.unet)
    loaded = load_matching_adapter(adapter, pipe, torch.device(device), dtype, text_encoder_2_lora)
    encoder = find_image_encoder(image_encoder, pipe, loaded, dtype)
    preview = preview or fit_preview(pipe.vae)
    placement = place_networks(pipe, encoder, torch.device(device), offload)
    backbone = _backbone(kind, str(source), pipe, encoder, placement, preview)
    return backbone, None if loaded is None else loaded.adapter


def wrap_stock(
    kind: type[B],
    pipe: DiffusionPipeline,
    adapter: str | PathLike[str],
    image_encoder: str | PathLike[str] | None = None,
    text_encoder_2_lora: bool = False,
) -> tuple[B, MMDiffAdapter]:
    """Wrap a pipeline that is already open, on whatever device. Args and errors as :func:`load_stock`."""
    device, dtype = execution_device(pipe), pipe.unet.dtype
    loaded = load_matching_adapter(adapter, pipe, device, dtype, text_encoder_2_lora)
    assert loaded is not None  # a file was given
    encoder = find_image_encoder(image_encoder, pipe, loaded, dtype)
    placement = Placement(device)
    if encoder is not None:
        encoder.place(device)
    with placement.using(pipe.vae), placement.in_float32(pipe.vae):  # encoders overflow in half precision
        preview = fit_preview(pipe.vae)
    return _backbone(kind, name_of(pipe), pipe, encoder, placement, preview), loaded.adapter


def _backbone(
    kind: type[B],
    name: str,
    pipe: DiffusionPipeline,
    encoder: ImageEncoder | None,
    placement: Placement,
    preview: LatentPreview,
) -> B:
    return kind(
        name=name,
        image_encoder=encoder,
        defaults=usual_numbers(pipe, name, kind.stock_defaults),
        placement=placement,
        latent_preview=preview,
        **kind.fields_from(pipe),
    )


def load_stable_diffusion(source: str | PathLike[str], *args: Any, **options: Any) -> tuple[StableDiffusion, Any]:
    """Load a Stable Diffusion 1.x by :func:`load_stock`."""
    return load_stock(StableDiffusion, source, *args, **options)
