"""Word fusion starts out close to the word, and listens to the photo."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from mmdiff_core.nn.fusion import SubjectProjector, WordFusion


def test_a_fresh_fusion_returns_about_the_word() -> None:
    torch.manual_seed(0)
    words, cls = 0.02 * torch.randn(50, 64), torch.randn(50, 32)
    subject, _ = SubjectProjector(32, (64, 48))(cls)
    fused = WordFusion(64)(words, subject)
    assert F.cosine_similarity(fused, words).min() > 0.95
    assert 0.7 < fused.std() / words.std() < 1.5


def test_projections_start_in_the_range_of_words() -> None:
    torch.manual_seed(0)
    for vectors, width in zip(SubjectProjector(32, (64, 48), scale=0.5)(torch.randn(9, 3, 32)), (64, 48), strict=True):
        assert vectors.shape == (9, 3, width)
        assert 0.25 < vectors.std() < 1


def test_the_photo_changes_the_word_and_gets_a_gradient_from_the_start() -> None:
    torch.manual_seed(0)
    fusion, words = WordFusion(16), 0.02 * torch.randn(3, 16)
    subject = (0.02 * torch.randn(3, 16)).requires_grad_()
    (gradient,) = torch.autograd.grad(fusion(words, subject).square().sum(), subject)
    assert gradient.abs().min() > 0
