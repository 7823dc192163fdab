"""Shares of attention: which part of each pixel's attention goes to which token. Pixels last: there are few tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmdiff_core.types import Recording


def word_maps(query: Tensor, key: Tensor, columns: Tensor, named: Tensor, per_head: bool = False) -> Tensor:
    """Return the text softmax at subjects' words, (B, S, L), or (B, S, H, L) with heads; args as in RecordedKeys.

    A word of several tokens has the sum of their shares.
    """
    softmax = attention_scores(query, key).softmax(2)  # (B, H, T, L): a column is a share of them all
    index = columns.flatten(1)[:, None, :, None].expand(-1, softmax.shape[1], -1, softmax.shape[3])
    chosen: Tensor = torch.unflatten(softmax.gather(2, index), 2, columns.shape[1:])  # (B, H, S, W, L)
    if per_head:
        return (chosen.movedim(1, 3) * named[..., None, None]).sum(2)
    return (chosen.mean(1) * named[..., None]).sum(2)


def other_word_maps(query: Tensor, key: Tensor, recording: Recording) -> Tensor:
    """Return the text softmax at words of no subject, which take the subjects' place; every row has all of them."""
    tokens = pad_sequence([torch.tensor(word) for word in recording.tokens], batch_first=True, padding_value=-1)
    columns = tokens.to(query.device).expand(len(query), -1, -1)  # (B, S, W)
    return word_maps(query, key, columns.clamp(min=0), (columns >= 0).float(), recording.per_head)


def token_maps(
    query: Tensor, key: Tensor, groups: Tensor, concepts: Sequence[Tensor] = (), per_head: bool = False
) -> Tensor:
    """Return the text softmax summed over groups of tokens, and concepts' shares: (B, G + C, [H,] L).

    A concept is a word that is not in the text. It joins the softmax of each pixel by itself, so that neither the
    groups nor the other concepts change: with s the scores, its share is the sum of exp(s) over its own tokens, over
    that sum and the text's.

    Args:
        query: (B, H, L, d).
        key: (B, H, T, d), not scaled.
        groups: (B, G, T) float32, 1 where a token is of the group; groups without a gap give shares that sum to 1.
        concepts: for each concept the keys of its tokens, (B or 1, H, tokens, d), not scaled.
        per_head: keep the heads apart; else they are averaged.
    """
    with torch.autocast(query.device.type, enabled=False):
        scores = attention_scores(query, scaled(key))  # (B, H, T, L)
        shares = sum_owned(scores.softmax(2), groups, per_head)
        if not concepts:
            return shares
        text = scores.logsumexp(2)  # (B, H, L)
        own = [attention_scores(query, scaled(each)).logsumexp(2) for each in concepts]
        found = torch.sigmoid(torch.stack(own, dim=1) - text[:, None])  # (B, C, H, L)
        return torch.cat([shares, found if per_head else found.mean(2)], dim=1)


def pixel_maps(query: Tensor, key: Tensor) -> Tensor:
    """Return how much each pixel attends to each other in a self-attention, mean of heads: (B, L, L), rows sum to 1.

    Head by head, since all at once take too much memory. Args: query, key (B, H, L, d), the key not scaled.
    """
    with torch.autocast(query.device.type, enabled=False):
        key = scaled(key)
        total = query.new_zeros(len(query), query.shape[2], key.shape[2], dtype=torch.float32)
        for head in range(query.shape[1]):
            total += (query[:, head].float() @ key[:, head].mT).softmax(-1)
        return total / query.shape[1]


def sum_owned(shares: Tensor, owned: Tensor, per_head: bool, mean: bool = True) -> Tensor:
    """Sum values (B, H, K, L) over each subject's tokens: (B, S, H, L), or with heads averaged or summed."""
    if per_head:
        return (owned[:, None] @ shares).movedim(1, 2)
    return owned @ (shares.mean(1) if mean else shares.sum(1))


def scaled(key: Tensor) -> Tensor:
    """Return keys over sqrt(d), in float32: there are fewer keys than queries."""
    scale: float = key.shape[-1] ** -0.5
    return key.float() * scale


def attention_scores(query: Tensor, key: Tensor) -> Tensor:
    """Return (Q K^T)^T in float32, (B, H, tokens, L), of keys that are already scaled."""
    return key @ query.float().mT
