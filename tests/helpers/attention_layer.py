"""One attention layer of an adapter with random weights, and what it is called with."""

from __future__ import annotations

import torch
from torch import Tensor

from mmdiff_core.nn.config import AttentionLayer
from mmdiff_core.nn.layer import LayerLoras, LayerWeights, text_key_value
from mmdiff_core.nn.map_recording import MapRequest
from mmdiff_core.nn.records import KeyValue, SubjectEmbeddings
from mmdiff_core.types import Recording

B, S, N, H, L, D, INNER, T = 3, 2, 4, 2, 15, 10, 16, 7
K = S * N


def layer_weights(null_token: bool) -> LayerWeights:
    torch.manual_seed(0)
    loras = LayerLoras(AttentionLayer("layer", 12, D, INNER, H), 4, None, image=True, null_token=null_token)
    frozen = torch.nn.Module()
    frozen.to_q, frozen.to_k = torch.nn.Linear(12, INNER, bias=False), torch.nn.Linear(D, INNER, bias=False)
    frozen.to_v, frozen.to_out = torch.nn.Linear(D, INNER, bias=False), [torch.nn.Linear(INNER, 12)]
    for parameter in loras.parameters():
        torch.nn.init.normal_(parameter)
    return loras.add_to(frozen)


def subject_embeddings(present: Tensor | None = None) -> SubjectEmbeddings:
    tokens = torch.randn(B, K, D, generator=torch.Generator().manual_seed(1))
    present = torch.ones(B, K, dtype=torch.bool) if present is None else present
    return SubjectEmbeddings((), tokens, torch.arange(S).repeat_interleave(N), present)


def draw_query() -> Tensor:
    return torch.randn(B, H, L, INNER // H, generator=torch.Generator().manual_seed(2))


def draw_text(weights: LayerWeights) -> KeyValue:
    return text_key_value(weights, torch.randn(B, T, D, generator=torch.Generator().manual_seed(3)))


def map_request(subjects: SubjectEmbeddings, recording: Recording | None = None) -> MapRequest:
    words = torch.tensor([[1, 4], [6, 0], [2, -1]])
    return MapRequest(words[..., None], owned_tokens(subjects), B, recording or Recording())


def owned_tokens(subjects: SubjectEmbeddings) -> Tensor:
    each = range(int(subjects.owners.max()) + 1)
    return torch.stack([((subjects.owners == s) & subjects.present).float() for s in each], dim=1)  # (B, S, K)
