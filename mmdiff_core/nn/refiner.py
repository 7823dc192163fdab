"""SE-Refiner (section 3.2): subject tokens look at the photo's patches to win back its details."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmdiff_core.nn.attention import merge_heads, split_heads


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
    """``s += Attn(...)``, then ``s += FF(s)``."""

    def __init__(self, width: int, head_dim: int) -> None:
        super().__init__()
        self.attention = RefinerAttention(width, head_dim)
        self.norm = nn.LayerNorm(width)
        self.hidden = nn.Linear(width, 2 * width, bias=False)
        self.output = nn.Linear(2 * width, width, bias=False)

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
    """

    def __init__(self, width: int, patch_width: int, depth: int = 4, head_dim: int = 256) -> None:
        super().__init__()
        self.patches = nn.Linear(patch_width, width)
        self.layers = nn.ModuleList(RefinerLayer(width, head_dim) for _ in range(depth))
        self.output = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, patches: Tensor) -> Tensor:
        """Args: tokens s0 (..., N, D), patches p (..., M, Dh). Returns (..., N, D)."""
        details = self.details(tokens.flatten(0, -3), patches.flatten(0, -3))
        return tokens + torch.unflatten(details, 0, tokens.shape[:-2])

    def details(self, tokens: Tensor, patches: Tensor) -> Tensor:
        """``LN(W s)``. Args: tokens (B, N, D), patches (B, M, Dh). Returns (B, N, D)."""
        patches = self.patches(patches)  # (B, M, D)
        for layer in self.layers:
            tokens = layer(tokens, patches)  # (B, N, D)
        details: Tensor = self.norm(self.output(tokens))
        return details
