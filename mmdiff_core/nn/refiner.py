"""SE-Refiner (section 3.2): subject tokens look at the photo's patches to win back its details.

IP-Adapter's resampler is the same block around learned queries.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmdiff_core.nn.attention import merge_heads, split_heads
from mmdiff_core.nn.config import ResamplerShape


class RefinerAttention(nn.Module):
    """``Attn(LN(s), [LN(p') ; LN(s)])``: the tokens ask the patches and each other.

    Args:
        width: D.
        head_dim: width of a head.
        heads: number of heads; None takes as many as fit into D.
    """

    def __init__(self, width: int, head_dim: int, heads: int | None = None) -> None:
        super().__init__()
        self.heads = heads or max(1, width // head_dim)
        inner = self.heads * head_dim
        self.patch_norm = nn.LayerNorm(width)
        self.token_norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, inner, bias=False)
        self.key_value = nn.Linear(width, 2 * inner, bias=False)
        self.output = nn.Linear(inner, width, bias=False)

    def forward(self, tokens: Tensor, patches: Tensor) -> Tensor:
        """Args: tokens (B, N, D), patches (B, M, D). Returns (B, N, D)."""
        tokens = self.token_norm(tokens)
        context = torch.cat([self.patch_norm(patches), tokens], dim=1)  # (B, M+N, D)
        query = split_heads(self.query(tokens), self.heads)  # (B, H, N, d)
        key, value = (split_heads(x, self.heads) for x in self.key_value(context).chunk(2, dim=-1))
        attended: Tensor = self.output(merge_heads(F.scaled_dot_product_attention(query, key, value)))
        return attended


class RefinerLayer(nn.Module):
    """``s += Attn(...)``, then ``s += FF(s)``; ``hidden`` is the width in the middle of FF, by default 2 D."""

    def __init__(self, width: int, head_dim: int, heads: int | None = None, hidden: int | None = None) -> None:
        super().__init__()
        hidden = 2 * width if hidden is None else hidden
        self.attention = RefinerAttention(width, head_dim, heads)
        self.norm = nn.LayerNorm(width)
        self.hidden = nn.Linear(width, hidden, bias=False)
        self.output = nn.Linear(hidden, width, bias=False)

    def forward(self, tokens: Tensor, patches: Tensor) -> Tensor:
        """Args: tokens (B, N, D), patches (B, M, D). Returns (B, N, D)."""
        tokens = tokens + self.attention(tokens, patches)
        update: Tensor = self.output(F.gelu(self.hidden(self.norm(tokens))))
        return tokens + update


class SubjectRefiner(nn.Module):
    """``s0 + LN(W s)`` with ``s`` the tokens after ``depth`` layers.

    Args:
        width: D, the UNet's cross-attention width.
        patch_width: Dh of the image encoder.
        depth: number of layers.
        head_dim: width of a head; as many heads as fit into D.
        hidden: width in the middle of the feed-forward networks; None: 2 D.
        residual: False returns ``LN(W s)`` alone.
    """

    def __init__(
        self,
        width: int,
        patch_width: int,
        depth: int = 4,
        head_dim: int = 256,
        hidden: int | None = None,
        residual: bool = True,
    ) -> None:
        super().__init__()
        self.residual = residual
        self.patches = nn.Linear(patch_width, width)
        self.layers = nn.ModuleList(RefinerLayer(width, head_dim, hidden=hidden) for _ in range(depth))
        self.output = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, patches: Tensor) -> Tensor:
        """Args: tokens s0 (..., N, D), patches p (..., M, Dh). Returns (..., N, D)."""
        details = torch.unflatten(self.details(tokens.flatten(0, -3), patches.flatten(0, -3)), 0, tokens.shape[:-2])
        return tokens + details if self.residual else details

    def details(self, tokens: Tensor, patches: Tensor) -> Tensor:
        """``LN(W s)``. Args: tokens (B, N, D), patches (B, M, Dh). Returns (B, N, D)."""
        patches = self.patches(patches)  # (B, M, D)
        for layer in self.layers:
            tokens = layer(tokens, patches)  # (B, N, D)
        details: Tensor = self.norm(self.output(tokens))
        return details


class Resampler(nn.Module):
    """``LN(W q)`` with ``q`` learned queries that have looked at the patches: IP-Adapter-Plus.

    Args:
        tokens: N, the number of queries.
        width: D, the UNet's cross-attention width.
        patch_width: Dh of the image encoder.
        shape: of the network between them.
    """

    def __init__(self, tokens: int, width: int, patch_width: int, shape: ResamplerShape) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(1, tokens, shape.width) * shape.width**-0.5)
        self.patches = nn.Linear(patch_width, shape.width)
        self.layers = nn.ModuleList(
            RefinerLayer(shape.width, shape.head_dim, shape.heads, shape.hidden) for _ in range(shape.depth)
        )
        self.output = nn.Linear(shape.width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, patches: Tensor) -> Tensor:
        """Args: patches (n, M, Dh). Returns (n, N, D)."""
        tokens: Tensor = self.norm(self.output(self.looked(self.queries.expand(len(patches), -1, -1), patches)))
        return tokens

    def looked(self, queries: Tensor, patches: Tensor) -> Tensor:
        """Return queries (n, N, width) after they have looked at the patches (n, M, Dh)."""
        patches = self.patches(patches)  # (n, M, width)
        for layer in self.layers:
            queries = layer(queries, patches)
        return queries


FREQUENCIES = 8  # of the sines and cosines that a box is read by
HIGHEST_FREQUENCY = 100.0
BOX = 4  # left, top, right, bottom


class GroundedResampler(Resampler):
    """A resampler whose queries come from the subject's name and box: MS-Diffusion (arXiv 2406.07209).

    A subject whose box is empty has the learned queries. Args as :class:`Resampler`.
    """

    frequencies: Tensor

    def __init__(self, tokens: int, width: int, patch_width: int, shape: ResamplerShape) -> None:
        super().__init__(tokens, width, patch_width, shape)
        read = shape.phrase_width + 2 * BOX * FREQUENCIES
        self.grounding_hidden = nn.Linear(read, 2 * read)
        self.grounding_output = nn.Linear(2 * read, tokens * shape.width)
        self.query_norm = nn.LayerNorm(shape.width)
        self.looked_norm = nn.LayerNorm(shape.width)
        frequencies = HIGHEST_FREQUENCY ** (torch.arange(FREQUENCIES) / FREQUENCIES)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def ground(self, patches: Tensor, grounding: Tensor) -> Tensor:
        """Return the tokens (n, N, D) of photos.

        Args:
            patches: (n, M, Dh).
            grounding: (n, Dp + 4) each subject's encoded name, and its box in fractions of the image.
        """
        phrases, boxes = grounding[:, :-BOX], grounding[:, -BOX:]
        angles = self.frequencies[:, None] * boxes[:, None]  # (n, F, 4)
        waves = torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)  # (n, F * 2 * 4)
        hidden = F.gelu(self.grounding_hidden(torch.cat([phrases, waves], dim=-1)))
        known = self.query_norm(torch.unflatten(self.grounding_output(hidden), -1, self.queries.shape[1:]))
        empty = (boxes == 0).all(-1)[:, None, None]
        queries = torch.where(empty, self.queries, known)  # (n, N, width)
        tokens: Tensor = self.norm(self.output(self.looked_norm(self.looked(queries, patches))))
        return tokens
