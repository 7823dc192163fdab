"""The CLIP image encoder: one forward, two outputs (paper, figure 2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import CLIPVisionModelWithProjection

from mmdiff_core.encoders.devices import is_hooked
from mmdiff_core.encoders.photo import resize
from mmdiff_core.nn.config import PhotoFit

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


class ImageEncoder(nn.Module):
    """CLIP vision tower that gives the projected CLS and the penultimate patch tokens of a photo.

    Args:
        model: the vision tower with its projection.
        mean, std: the model's own normalisation of [0, 1] pixels.
        keep_cls: leave the CLS token among the patches, as the official release does.
        words: another tower of the same shape that gives the CLS, as in the official release; by default ``model``.
        fit: how a photo becomes a square.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: CLIPVisionModelWithProjection,
        mean: Sequence[float] = CLIP_MEAN,
        std: Sequence[float] = CLIP_STD,
        keep_cls: bool = False,
        words: CLIPVisionModelWithProjection | None = None,
        fit: PhotoFit = "pad",
    ) -> None:
        super().__init__()
        self.model = model
        self.words = words
        self.keep_cls = keep_cls
        self.fit: PhotoFit = fit
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    @property
    def size(self) -> int:
        """Return the side in pixels of the square images that the model reads."""
        return int(self.model.config.image_size)

    def place(self, device: torch.device) -> None:
        """Move to a device, except a model that a pipeline keeps elsewhere and fetches when it is called."""
        for model in (self.model, self.words):
            if model is not None and not is_hooked(model):
                model.to(device)
        self.mean, self.std = self.mean.to(device), self.std.to(device)

    @property
    def blank(self) -> Tensor:
        """Return a photo (3, size, size) that shows nothing: zeros once it is normalised."""
        return self.mean.expand(3, self.size, self.size)

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Encode photos.

        Args:
            pixels: (n, 3, h, w) in [0, 1], any size; resized to the model's own if they differ.

        Returns:
            The projected CLS (n, Dv) and the penultimate tokens (n, M, Dh).
        """
        if self.words is not None:
            return self.encode_words(pixels), self.encode_patches(pixels)
        output = self.model(pixel_values=self.normalise(pixels), output_hidden_states=True)
        return output.image_embeds, self._patches(output.hidden_states)

    def encode_words(self, pixels: Tensor) -> Tensor:
        """Return the projected CLS (n, Dv) alone; args as :meth:`encode`."""
        cls: Tensor = (self.words or self.model)(pixel_values=self.normalise(pixels)).image_embeds
        return cls

    def encode_patches(self, pixels: Tensor) -> Tensor:
        """Return the penultimate tokens (n, M, Dh) alone; args as :meth:`encode`."""
        output = self.model(pixel_values=self.normalise(pixels), output_hidden_states=True)
        return self._patches(output.hidden_states)

    def _patches(self, hidden_states: Sequence[Tensor]) -> Tensor:
        return hidden_states[-2] if self.keep_cls else hidden_states[-2][:, 1:]  # (n, [1 +] M, Dh)

    def normalise(self, pixels: Tensor) -> Tensor:
        """Normalise [0, 1] pixels (n, 3, h, w) to what the model was trained on (n, 3, size, size)."""
        pixels = resize(pixels.to(self.mean), self.size)
        return ((pixels - self.mean) / self.std).to(self.model.dtype)
