"""What the line asks of a diffusion model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from diffusers import AutoencoderKL, DiffusionPipeline, SchedulerMixin, UNet2DConditionModel
from PIL import Image
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from mmdiff_core.backbones.placement import Placement
from mmdiff_core.backbones.schedulers import schedulers_for
from mmdiff_core.encoders.image import ImageEncoder
from mmdiff_core.encoders.text import FusedWords, TextEncoder
from mmdiff_core.errors import ModelError
from mmdiff_core.maps.attention_maps import Recorder
from mmdiff_core.nn.records import Condition, PromptTokens, TextStates
from mmdiff_core.types import Size
from mmdiff_core.weights.model_source import shown_name

TextDeltas = Mapping[str, Tensor]


@dataclass(frozen=True)
class Defaults:
    """What a request gets where it leaves a number open."""

    steps: int
    guidance: float
    start_step: int = 0
    few: bool = False  # the model was made for few steps, so that there is no preset for fewer
    scheduler: str | None = None  # the model's own


@dataclass(frozen=True, eq=False)
class Backbone(ABC):
    """A latent diffusion model with CLIP text encoders, stock in every weight.

    Its UNet carries the conditioned attention processors, which know nothing of a request.
    """

    name: str
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    tokenizers: tuple[PreTrainedTokenizerBase, ...]
    text_encoders: tuple[TextEncoder, ...]
    image_encoder: ImageEncoder | None
    scheduler: SchedulerMixin  # a template: every image gets a fresh one
    sizes: Size
    defaults: Defaults
    placement: Placement  # where the parts are while they wait

    @property
    def display_name(self) -> str:
        """Return the name for others; see :func:`shown_name`."""
        return shown_name(self.name)

    @property
    def fast(self) -> Defaults | None:
        """Return a preset of fewer steps at little loss, if one was measured."""
        return None

    @property
    def embeds_guidance(self) -> bool:
        """Whether the UNet was distilled to read the guidance as an input, so that it runs without a negative half."""
        return self.unet.config.time_cond_proj_dim is not None

    @property
    def schedulers(self) -> tuple[str, ...]:
        """Return the schedulers that a request may name."""
        return tuple(schedulers_for(self.scheduler))

    def sampled_by(self, scheduler: str | None) -> tuple[Backbone, str | None]:
        """Return the model and its solver (None: its own) that a request's scheduler stands for."""
        return self, scheduler

    @property
    @abstractmethod
    def max_clip_skip(self) -> int:
        """Return how many layers of the text encoders can be left out at the end."""

    @property
    def device(self) -> torch.device:
        """Return where everything is computed, wherever the weights wait."""
        return self.placement.device

    @abstractmethod
    def around(self, pipe: DiffusionPipeline) -> Self:
        """Return this model with the networks, scheduler and device of a stock pipeline of its kind."""

    def moved_to(self, device: str | torch.device) -> Self:
        """Move this model to another device. The networks themselves move, so the old model can no longer be used."""
        parts = (self.unet, self.vae, *self.text_encoders, self.image_encoder)
        modules = [part for part in parts if isinstance(part, nn.Module)]
        return replace(self, placement=Placement.of(modules, torch.device(device), "none"))

    @abstractmethod
    def fresh_scheduler(self) -> SchedulerMixin:
        """Return a scheduler for one image; schedulers keep state and are never shared."""

    @abstractmethod
    def encode_text(
        self,
        tokens: Sequence[PromptTokens],
        fused: Sequence[FusedWords | None],
        deltas: Sequence[TextDeltas],
        clip_skip: int = 0,
    ) -> TextStates:
        """Encode a batch; one entry per text encoder in every argument but ``clip_skip``, the layers left out."""

    @abstractmethod
    def encode_negative(self, tokens: Sequence[PromptTokens], deltas: Sequence[TextDeltas]) -> TextStates:
        """Encode the unconditional half, which never sees a photo."""

    @abstractmethod
    def added_conditions(self, text: TextStates, size: tuple[int, int], guidance: float = 1.0) -> Mapping[str, Tensor]:
        """Return what the UNet reads besides the text, for images of ``size`` = (width, height)."""

    @abstractmethod
    def check_state(self) -> None:
        """Check that the networks, which other code may share, are in a state that can be used.

        Raises:
            ModelError: they are not; the message says what to do.
        """

    def check_text_to_image(self) -> None:
        """Check that the UNet makes images from text alone.

        Raises:
            ModelError: it reads more than latents, as those for inpainting do.
        """
        read, made = self.unet.config.in_channels, self.unet.config.out_channels
        if read != made:
            raise ModelError(
                f"This UNet reads {read} channels and makes {made}: it is for inpainting or another task that starts "
                "from an image, so call its own pipeline, with the arguments of Personalizer.attach(pipe)."
            )

    @abstractmethod
    def draw_noise(self, generator: torch.Generator, width: int, height: int) -> Tensor:
        """Draw standard normal latents (1, c, h, w), on the CPU in float32 so that any device agrees."""

    def noise(self, seed: int, width: int, height: int) -> Tensor:
        """Return the first latents that :meth:`draw_noise` draws of a seed."""
        return self.draw_noise(torch.Generator().manual_seed(seed), width, height)

    @abstractmethod
    def predict_noise(
        self, latents: Tensor, timestep: Tensor, condition: Condition, recorder: Recorder | None = None
    ) -> Tensor:
        """Run the UNet once: (B, c, h, w) -> (B, c, h, w); the velocity for a flow model."""

    @abstractmethod
    def encode(self, image: Image.Image, generator: torch.Generator) -> Tensor:
        """Encode an RGB image to latents (1, c, h, w), drawn from the autoencoder's distribution."""

    @abstractmethod
    def decode(self, latents: Tensor) -> list[Image.Image]:
        """Decode latents (B, c, h, w) to images."""

    @abstractmethod
    def preview(self, latents: Tensor) -> Image.Image:
        """Return a rough small image of latents (1, c, h, w): one matrix from channels to RGB."""
