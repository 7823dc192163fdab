"""The referee's network and its file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from mmdiff_core.errors import CheckpointError, ModelError
from mmdiff_core.referee import network as module
from mmdiff_core.referee.network import Referee, RefereeConfig, load_referee, save_referee
from mmdiff_core.toyworld.scenes.vocabulary import WHOLE_WORLD
from tests.helpers.small_referee import CONFIG, VOCABULARY


@pytest.fixture
def referee() -> Referee:
    torch.manual_seed(0)
    return Referee(CONFIG).eval()


def test_shapes(referee: Referee) -> None:
    output = referee(torch.rand(2, 3, 64, 64))
    assert output.segments.shape == (2, 4, 32, 32)
    assert output.features.shape == (2, 8 + 64, 8, 8)
    assert [x.shape[1] for x in (output.classes, output.backgrounds, output.styles)] == [3, 2, 1]
    described = referee.describe(output.features, torch.ones(2, 64, 64))
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
    """The other half of the image does not change what a histogram says about a region."""
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


def test_files_keep_the_keys_of_earlier_versions(referee: Referee, tmp_path: Path) -> None:
    save_referee(referee, tmp_path / "referee.safetensors")
    with safe_open(tmp_path / "referee.safetensors", framework="pt") as file:
        config = json.loads(file.metadata()["config"])
        heads = {name.split(".")[0] for name in file.keys()}  # noqa: SIM118 (not a mapping)
    assert (config["nouns"], config["places"]) == (list(CONFIG.classes), list(CONFIG.backgrounds))
    assert "classes" not in config
    assert {"nouns", "places", "styles", "look", "identity", "presence"} <= heads


def test_a_vocabulary_must_be_known(referee: Referee) -> None:
    referee.config.check_knows(VOCABULARY)
    with pytest.raises(ModelError, match=r"classes.*owl"):
        referee.config.check_knows(replace(VOCABULARY, classes=("cat", "owl")))
