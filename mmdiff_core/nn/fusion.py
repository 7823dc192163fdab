"""Vision-augmented text embeddings (section 3.2): the photo enters the prompt at the subject's own word."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_SHIFT = 3.0  # GELU is almost the identity beyond this


class SubjectProjector(nn.Module):
    """``g(c)``: the image encoder's projected CLS in the width of every text encoder's word embeddings.

    Args:
        cls_width: Dv.
        widths: one word-embedding width per text encoder.
        scale: standard deviation of the words' entries; the projections start out in that range.
    """

    def __init__(self, cls_width: int, widths: Sequence[int], scale: float = 0.02) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(cls_width)
        self.hidden = nn.Linear(cls_width, cls_width)
        self.outputs = nn.ModuleList(_small_linear(cls_width, width, scale) for width in widths)

    def forward(self, cls: Tensor) -> tuple[Tensor, ...]:
        """Args: cls (..., Dv). Returns one (..., width) per text encoder."""
        hidden = F.gelu(self.hidden(self.norm(cls)))  # (..., Dv)
        return tuple(output(hidden) for output in self.outputs)


class WordFusion(nn.Module):
    """``w' = MLP([w ; g(c)])`` without a residual; replaces the word embedding before the text encoder (eq. 1).

    Starts out close to returning the word, rescaled to ``scale``, so that a fresh adapter leaves the prompt readable.

    Args:
        width: W, the text encoder's embedding width.
        scale: standard deviation of the words' entries, used for the start only.
    """

    def __init__(self, width: int, scale: float = 0.02) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(2 * width)
        self.hidden = nn.Linear(2 * width, width)
        self.output = nn.Linear(width, width)
        self._start_as_word(scale)

    def forward(self, word: Tensor, subject: Tensor) -> Tensor:
        """Args: word (..., W), subject (..., W). Returns (..., W)."""
        both = self.norm(torch.cat([word, subject], dim=-1))  # (..., 2W)
        fused: Tensor = self.output(F.gelu(self.hidden(both)))
        return fused

    @torch.no_grad()
    def _start_as_word(self, scale: float) -> None:
        """Start as the word: hidden = norm(w) + shift, where GELU is linear; output = scale * (hidden - shift)."""
        width = self.output.in_features
        identity = torch.eye(width)
        self.hidden.weight[:, :width] = identity
        self.hidden.weight[:, width:].normal_(std=0.1 * width**-0.5)
        self.hidden.bias.fill_(_SHIFT)
        self.output.weight.copy_(scale * identity)
        self.output.bias.fill_(-scale * _SHIFT)


def _small_linear(inputs: int, outputs: int, scale: float) -> nn.Linear:
    """Return a projection of GELU's output (RMS about a third) to entries of standard deviation ``scale``."""
    linear = nn.Linear(inputs, outputs)
    nn.init.normal_(linear.weight, std=3 * scale * inputs**-0.5)
    nn.init.zeros_(linear.bias)
    return linear
