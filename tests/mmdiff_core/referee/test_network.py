"""The referee's network, its file, and how it is asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from mmdiff_core.errors import CheckpointError, ModelError, SettingsError
from mmdiff_core.referee import network as module
from mmdiff_core.referee.judge import judge, judge_photos, regions_of
from mmdiff_core.referee.network import Referee, RefereeConfig, RefereeOutput, load_referee, save_referee
from mmdiff_core.toyworld.scenes.vocabulary import WHOLE_WORLD
from tests.helpers.small_referee import CONFIG

PICTURES = torch.rand(3, 3, 50, 40, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def referee() -> Referee:
    torch.manual_seed(0)
    return Referee(CONFIG).eval()


def test_shapes(referee: Referee) -> None:
    seen = referee(torch.rand(2, 3, 32, 32))
    assert seen.segments.shape == (2, 4, 16, 16)
    assert seen.features.shape == (2, 8 + 64, 8, 8)
    assert [x.shape[1] for x in (seen.classes, seen.backgrounds, seen.styles)] == [3, 2, 1]
    described = referee.describe(seen.features, torch.ones(2, 32, 32))
    assert described.identity.norm(dim=-1).tolist() == pytest.approx([1.0, 1.0])
    assert [x.shape[1] for x in described.attributes] == [12, 12, 12, 5]


def test_full_size_keeps_within_its_limits(tmp_path: Path) -> None:
    """Six million parameters, twelve megabytes."""
    full = Referee(RefereeConfig.of(WHOLE_WORLD))
    assert sum(parameter.numel() for parameter in full.parameters()) <= 6e6
    save_referee(full, tmp_path / "referee.safetensors")
    assert (tmp_path / "referee.safetensors").stat().st_size <= 12e6


def test_file_is_the_referee_in_half_precision(referee: Referee, tmp_path: Path) -> None:
    file = tmp_path / "new" / "referee.safetensors"
    save_referee(referee, file)
    again = load_referee(file)
    assert again.config == CONFIG
    for name, tensor in referee.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor.half().float()), name
    assert {path.name for path in file.parent.iterdir()} == {"referee.safetensors"}


def test_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="train-referee"):
        load_referee(tmp_path / "no.safetensors")


def test_broken_files_are_refused(referee: Referee, tmp_path: Path) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="broken"):
        load_referee(broken)
    save_file({"a": torch.zeros(1)}, broken, {"format": "something else"})
    with pytest.raises(CheckpointError, match="not a referee"):
        load_referee(broken)
    wider = replace(CONFIG, embedding=16).to_json()
    save_file(dict(referee.state_dict()), broken, {"format": module.FORMAT, "config": wider})
    with pytest.raises(CheckpointError, match="identity"):
        load_referee(broken)


def test_region_is_described_by_its_own_colours(referee: Referee) -> None:
    """The other half of the picture does not change what a histogram says about a region."""
    halves = torch.zeros(2, 3, 32, 32)
    halves[:, 0, :, :16] = 0.9  # left half red in both, right half black or blue
    halves[1, 2, :, 16:] = 0.9
    colours = module._colours(halves)
    assert colours.sum(1).flatten().tolist() == pytest.approx([1.0] * colours[:, 0].numel(), abs=1e-5)
    left = torch.zeros(2, 1, 8, 8)
    left[..., :4] = 1
    means = [module._mean(colours, band) for band in module._bands(left)]
    assert len(means) == module.BANDS
    for mean in means:
        assert torch.allclose(mean[0], mean[1])
        assert module._COLOUR_BINS[int(mean[0].argmax())] == (0.92, 0.08, 0.08)


def test_bands_share_a_region() -> None:
    share = torch.zeros(1, 1, 9, 4)
    share[:, :, 3:] = 1.0  # six rows: two in each band
    bands = module._bands(share)
    assert torch.equal(sum(bands, torch.zeros_like(share)), share)
    assert [float(band.sum()) for band in bands] == [8.0, 8.0, 8.0]


def seen_with(segments: Tensor) -> RefereeOutput:
    return RefereeOutput(segments, *(torch.zeros(1) for _ in range(4)))


def test_region_belongs_to_the_likeliest_named_noun() -> None:
    """A pixel that is most like the dog is the cat's where the prompt names no dog, and nobody's on background."""
    logits = torch.full((1, 4, 1, 4), -9.0)
    logits[0, 0, 0, 0] = 9.0  # background
    logits[0, 1, 0, 1] = 9.0  # cat
    logits[0, [1, 2], 0, 2] = torch.tensor([2.0, 9.0])  # dog, a little cat
    logits[0, 3, 0, 3] = 9.0  # robot
    cat_and_robot = regions_of(seen_with(logits), 0, [0, 2], (1, 4))
    assert cat_and_robot[:, 0].tolist() == [[False, True, True, False], [False, False, False, True]]
    all_three = regions_of(seen_with(logits), 0, [0, 1, 2], (1, 4))
    assert all_three[1, 0].tolist() == [False, False, True, False]


def test_verdicts_do_not_depend_on_their_neighbours(referee: Referee) -> None:
    names = [["cat"], ["dog", "robot"], ["cat", "dog", "robot"]]
    together = judge(referee, PICTURES, names)
    for number, judgement in enumerate(together):
        alone = judge(referee, PICTURES[number : number + 1], names[number : number + 1])[0]
        assert torch.equal(alone.regions, judgement.regions)
        assert torch.allclose(alone.identity, judgement.identity, atol=1e-5)
        assert judgement.regions.shape == (len(names[number]), 50, 40)
        assert int(judgement.regions.sum(0).max()) <= 1
        assert len(judgement.present) == len(judgement.found) == len(names[number])


def test_a_bare_picture_has_no_region(referee: Referee) -> None:
    with torch.no_grad():
        referee.segments.bias[0] += 100  # sure of background everywhere
    judgement = judge(referee, PICTURES[:1], [["cat", "dog"]])[0]
    assert judgement.found == (False, False)
    assert judgement.identity.isfinite().all()


def test_photos_are_averaged(referee: Referee) -> None:
    both = judge_photos(referee, PICTURES[:2], "cat")
    single = [judge_photos(referee, PICTURES[k : k + 1], "cat") for k in range(2)]
    mean = torch.cat([judgement.identity for judgement in single]).mean(0, keepdim=True)
    assert torch.allclose(both.identity, torch.nn.functional.normalize(mean, dim=-1), atol=1e-5)
    assert torch.allclose(
        both.attributes[0].softmax(-1),
        (single[0].attributes[0].softmax(-1) + single[1].attributes[0].softmax(-1)) / 2,
        atol=1e-5,
    )


def test_words_that_it_cannot_judge(referee: Referee) -> None:
    with pytest.raises(SettingsError, match="bicycle"):
        judge(referee, PICTURES[:1], [["bicycle"]])
    with pytest.raises(SettingsError, match="cat, cat"):
        judge(referee, PICTURES[:1], [["cat", "cat"]])
