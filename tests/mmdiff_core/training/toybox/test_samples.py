"""Samples are joined with all their parts, and masks shrink to shares."""

from __future__ import annotations

from dataclasses import replace

import torch

from mmdiff_core.nn.records import ImageFeatures
from mmdiff_core.toyworld.scenes.scene import Caption
from mmdiff_core.training.toybox.samples import MASK_SIZE, MAX_SUBJECTS, Samples, coverage, join_samples


def samples(seed: int, count: int) -> Samples:
    generator = torch.Generator().manual_seed(seed)
    present = torch.rand(count, MAX_SUBJECTS, generator=generator) < 0.5
    return Samples(
        images=torch.randint(0, 256, (count, 3, 4, 4), generator=generator, dtype=torch.uint8),
        masks=torch.zeros(count, MAX_SUBJECTS, MASK_SIZE, MASK_SIZE, dtype=torch.uint8),
        references=torch.zeros(count, MAX_SUBJECTS, 2, 3, 4, 4, dtype=torch.uint8),
        present=present,
        captions=tuple(Caption(f"{seed}", (), f"{seed} in detail") for _ in range(count)),
        descriptions=((f"{seed}",),) * count,
    )


def test_joined_samples_keep_their_order() -> None:
    first, second = samples(1, 2), samples(2, 1)
    joined = join_samples([first, second])
    assert torch.equal(joined.images, torch.cat([first.images, second.images]))
    assert torch.equal(joined.present, torch.cat([first.present, second.present]))
    assert [caption.text for caption in joined.captions] == ["1", "1", "2"]
    assert joined.latents is None
    assert joined.features is None
    assert joined.photos == 2


def test_features_and_latents_take_the_place_of_pixels() -> None:
    parts = []
    for seed in (1, 2):
        whole = samples(seed, 2)
        features = ImageFeatures(
            torch.full((2, MAX_SUBJECTS, 2, 5), float(seed)),
            torch.zeros(2, MAX_SUBJECTS, 2, 4, 6),
            whole.present[..., None].expand(-1, -1, 2),
        )
        parts.append(replace(whole, images=None, references=None, latents=torch.zeros(2, 4, 2, 2), features=features))
    joined = join_samples(parts)
    assert joined.images is None
    assert joined.references is None
    assert joined.latents.shape == (4, 4, 2, 2)
    assert joined.features.cls[:, 0, 0, 0].tolist() == [1, 1, 2, 2]
    assert joined.photos == 2


def test_coverage_is_the_share_of_each_square() -> None:
    masks = torch.zeros(1, 1, 2 * MASK_SIZE, 2 * MASK_SIZE, dtype=torch.bool)
    masks[..., 0, 0] = True  # a quarter of the first square
    masks[..., 2:4, 2:4] = True
    shares = coverage(masks)
    assert shares.shape == (1, MAX_SUBJECTS, MASK_SIZE, MASK_SIZE)
    assert shares[0, 0, 0, 0] == round(255 / 4)
    assert shares[0, 0, 1, 1] == 255
    assert shares[0, 1:].sum() == 0
