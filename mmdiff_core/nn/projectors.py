"""From one vector of a photo to the N subject tokens that the SE-Refiner starts from (section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TokenProjector(nn.Module):
    """``s0 = LayerNorm(reshape(MLP(c)))``; the face variant reads an ArcFace embedding in the place of ``c``.

    Args:
        source_width: Dc, width of the vector.
        tokens: N, tokens per photo.
        width: D, the UNet's cross-attention width.
        deep: False puts one matrix in the place of the MLP, as IP-Adapter does.
    """

    def __init__(self, source_width: int, tokens: int, width: int, deep: bool = True) -> None:
        super().__init__()
        self.tokens = tokens
        self.hidden = nn.Linear(source_width, 2 * source_width) if deep else None
        self.output = nn.Linear(2 * source_width if deep else source_width, tokens * width)
        self.norm = nn.LayerNorm(width)

    def forward(self, source: Tensor) -> Tensor:
        """Args: source (..., Dc). Returns (..., N, D)."""
        hidden = source if self.hidden is None else F.gelu(self.hidden(source))
        flat: Tensor = self.output(hidden)  # (..., N*D)
        tokens: Tensor = self.norm(torch.unflatten(flat, -1, (self.tokens, -1)))
        return tokens
