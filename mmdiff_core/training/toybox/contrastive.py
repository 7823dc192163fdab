"""Stage 2: text and image encoders, trained by contrast as CLIP was.

Two contrasts share the image encoder: a photo against its description, and two photos of the same toy against all
other toys. The second makes the CLS embedding tell two toys of one class apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from mmdiff_core.atomic_files import save_network
from mmdiff_core.encoders.image import ImageEncoder
from mmdiff_core.encoders.prompt import stack_tokens, tokenize
from mmdiff_core.encoders.text import encode_text
from mmdiff_core.nn.records import PromptTokens
from mmdiff_core.output.image_grid import image_grid, to_image, to_pixels
from mmdiff_core.training.stage import StageSettings
from mmdiff_core.training.toybox.samples import ToyDataset

GALLERY, GALLERIES = 16, 16  # toys to tell apart, and how often to try


@dataclass(frozen=True)
class PhotoPairs:
    """Two photos of each toy, and a description."""

    first: Tensor  # (B, 3, R, R) in [0, 1]
    second: Tensor  # (B, 3, R, R)
    descriptions: PromptTokens  # of the first photos


class ContrastiveLoss(nn.Module):
    """Loss terms of both contrasts."""

    def __init__(self, text_encoder: CLIPTextModel, image_encoder: ImageEncoder, projection: int) -> None:
        super().__init__()
        self.text_encoder, self.image_encoder = text_encoder, image_encoder
        self.text_projection = nn.Linear(text_encoder.config.hidden_size, projection, bias=False)
        self.scales = nn.Parameter(torch.full((2,), math.log(1 / 0.07)))

    def forward(self, pairs: PhotoPairs) -> dict[str, Tensor]:
        first, second = (
            F.normalize(self.image_encoder.encode(x)[0].float(), dim=-1) for x in (pairs.first, pairs.second)
        )
        text = F.normalize(self.text(pairs.descriptions).float(), dim=-1)
        scales = self.scales.clamp(max=math.log(100)).exp()
        return {
            "text_image": symmetric_contrast(text, first, scales[0]),
            "same_toy": symmetric_contrast(first, second, scales[1]),
        }

    def text(self, tokens: PromptTokens) -> Tensor:
        """Return the projected state of the end-of-text token, (B, projection)."""
        ids = tokens.ids.to(self.text_projection.weight.device)
        states = encode_text(self.text_encoder, tokens).states
        end = (ids == self.text_encoder.config.eos_token_id).int().argmax(-1)
        return self.text_projection(states[torch.arange(len(ids), device=ids.device), end])


def symmetric_contrast(a: Tensor, b: Tensor, scale: Tensor) -> Tensor:
    """Return InfoNCE in both directions between matching rows of two normalised batches (B, d)."""
    scores = scale * a @ b.T
    right = torch.arange(len(a), device=a.device)
    return (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2


class ContrastiveStage:
    """Trains ``folder/text_encoder`` and ``folder/image_encoder``."""

    name = "encoders"

    def __init__(
        self, folder: Path, text_encoder: CLIPTextModel, tokenizer: CLIPTokenizer, image_encoder: ImageEncoder,
        dataset: ToyDataset, held_out: ToyDataset, settings: StageSettings,
    ) -> None:  # fmt: skip
        self.folder, self.tokenizer, self.dataset, self.settings = folder, tokenizer, dataset, settings
        self.held_out = held_out
        self.network = ContrastiveLoss(
            text_encoder.train(), image_encoder.train(), image_encoder.model.config.projection_dim
        ).requires_grad_(True)

    def trained(self) -> list[nn.Parameter]:
        return list(self.network.parameters())

    def seek(self, step: int) -> None:
        """Continue with the batches of that step."""
        self.dataset.seek(step)

    def batch(self) -> PhotoPairs:
        return self._pairs(self.dataset, self.settings.batch)

    def _pairs(self, dataset: ToyDataset, count: int) -> PhotoPairs:
        photos, descriptions = dataset.sample_photo_pairs(count)
        tokens = stack_tokens([tokenize(self.tokenizer, text) for text in descriptions])
        first, second = to_pixels(photos).to(self.network.scales.device).unbind(1)
        return PhotoPairs(first, second, tokens)

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """Draw photos above the three that the encoder finds nearest among other photos of these toys."""
        pairs = self._pairs(self.held_out, 4 * GALLERY)
        a, b = self._embed(pairs)
        nearest = (a @ b.T).topk(3, dim=-1).indices[:10].tolist()
        columns = [[pairs.first[i], *(pairs.second[j] for j in similar)] for i, similar in enumerate(nearest)]
        return image_grid([[to_image(column[row]) for column in columns] for row in range(4)])

    @torch.no_grad()
    def finish(self) -> Mapping[str, float]:
        """Write the encoders; return how often another photo of a held-out toy is found among those of 16."""
        self.network.eval()
        right = []
        for _ in range(GALLERIES):
            a, b = self._embed(self._pairs(self.held_out, GALLERY))
            right.append((a @ b.T).argmax(-1) == torch.arange(GALLERY, device=a.device))
        save_network(self.network.text_encoder, self.folder / "text_encoder")
        save_network(self.network.image_encoder.model, self.folder / "image_encoder")
        return {"same_toy_of_16": float(torch.cat(right).float().mean())}

    def _embed(self, pairs: PhotoPairs) -> tuple[Tensor, Tensor]:
        encode = self.network.image_encoder.encode
        return F.normalize(encode(pairs.first)[0], dim=-1), F.normalize(encode(pairs.second)[0], dim=-1)
