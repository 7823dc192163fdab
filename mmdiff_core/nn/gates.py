"""Where in a layer each subject may be: near its own word (word gating), or inside its region."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from mmdiff_core.nn.records import KeyValue
from mmdiff_core.nn.token_shares import scaled, word_maps

SHARPNESS = 8


@dataclass(frozen=True)
class Gate:
    """Where in a layer each subject may be. Subjects compete for a pixel by their gates, and the widest gate there
    is what is left of the image term; so one subject alone is simply weighted, and of two only the one inside counts.
    """

    gates: Tensor  # (R, S, L) in [0, 1], float32, of the rows that have an image term
    owners: Tensor  # (K,) subject of each image token

    @property
    def total(self) -> Tensor:
        """Return the share of the image term that the gates leave, (R, 1, L, 1)."""
        return self.gates.amax(1)[:, None, :, None]

    def close(self, image: KeyValue) -> KeyValue:
        """Return the image keys and values with the gates in their bias, (R, 1, L, tokens), except a null token's."""
        bias = self.gates.log().movedim(1, -1)[..., self.owners]  # (R, L, K), -inf where closed
        bias = F.pad(bias, (0, image.key.shape[2] - bias.shape[-1]))[:, None]  # (R, 1, L, tokens)
        bias = bias if image.bias is None else bias + image.bias.float()
        nobody = torch.isinf(bias).all(-1, keepdim=True)  # a softmax needs a token; `total` or the values are 0
        return replace(image, bias=bias.masked_fill(nobody, 0).to(image.key.dtype))


def word_gates(query: Tensor, text: KeyValue, words: Tensor, word_gating: float) -> Tensor:
    """Return gates (B, S, L) from sharpened text maps of the subjects' words; 1 for a subject without a word.

    A word's map relative to its peak, times how it stands beside the strongest other subject's at that pixel, to the
    power ``SHARPNESS``. Computed from this layer's query alone, so that nothing is carried from step to step.

    Args:
        query: (B, H, L, d).
        text: keys of the prompt.
        words: (B, S) the last token of each word, as the photos are fused there.
        word_gating: from 0, all gates open, to 1.
    """
    last = words[..., None]
    maps = word_maps(query, scaled(text.key), last.clamp(min=0), (last >= 0).float())  # (B, S, L)
    maps = maps / maps.amax(-1, keepdim=True).clamp(min=1e-8)
    sharp = maps * (maps / maps.amax(1, keepdim=True).clamp(min=1e-8)) ** SHARPNESS
    return torch.where((words >= 0)[..., None], 1 - word_gating + word_gating * sharp, 1.0)


def region_gates(regions: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a layer's gates (B, S, L) from regions (B, S, H, W): the share of each pixel that is inside."""
    return F.adaptive_avg_pool2d(regions.float(), size).flatten(2)
