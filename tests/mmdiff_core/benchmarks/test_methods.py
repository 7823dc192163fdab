"""What is timed does what its name says, on a tiny UNet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from mmdiff_core.benchmarks.bench_models import BenchModel, bench_model
from mmdiff_core.benchmarks.methods import make_methods
from mmdiff_core.benchmarks.timing import Method
from mmdiff_core.inspection.token_collector import TokenCollector


@pytest.fixture(autouse=True)
def _without_gradient() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def model() -> BenchModel:
    return bench_model("tiny", torch.device("cpu"))


@pytest.fixture(scope="module")
def known(model: BenchModel) -> dict[str, Method]:
    return make_methods(model)


def _run(method: Method) -> torch.Tensor:
    method.prepare()
    return method.step()  # type: ignore[return-value]


def test_merged_or_not_and_cached_or_not_it_is_the_same_picture(known: dict[str, Method]) -> None:
    ours = _run(known["ours"])
    assert torch.allclose(_run(known["ours_unmerged"]), ours, atol=1e-4)
    assert torch.equal(_run(known["ours_uncached"]), ours)


def test_the_others_differ(known: dict[str, Method]) -> None:
    outputs = [_run(known[name]) for name in ("stock", "ours", "ours_one", "ours_four", "ip_adapter_plus")]
    for index, output in enumerate(outputs):
        assert not any(torch.allclose(output, other, atol=1e-4) for other in outputs[index + 1 :])


def test_daams_way_is_the_stock_model_with_maps_of_every_token(model: BenchModel, known: dict[str, Method]) -> None:
    assert torch.allclose(_run(known["daam_style"]), _run(known["stock"]), atol=1e-5)
    known["daam_style"].prepare()
    path = model.adapter.config.cross_attention[0].path
    sums = model.unet.attn_processors[f"{path}.processor"].sums
    assert sums[path].shape == (2, 11, 16)  # heads, tokens, pixels


def test_recording_brings_every_layers_maps_to_the_host(model: BenchModel, known: dict[str, Method]) -> None:
    known["ours_recorded"].prepare()
    maps = known["ours_recorded"].step()
    assert maps.kinds == ("text", "image", "influence")
    assert set(maps.layers) == {layer.path for layer in model.adapter.config.cross_attention}
    assert maps.at(0, "image").shape == (4, 4)


@pytest.mark.parametrize(("name", "rows"), [("word_recorded", 2), ("tokens_recorded", 10)])
def test_words_of_the_stock_model_are_recorded_beside_the_same_picture(
    model: BenchModel, known: dict[str, Method], monkeypatch: pytest.MonkeyPatch, name: str, rows: int
) -> None:
    """Of eleven tokens start and end are no words; one row has the sum of all that no word has."""
    kept: list[torch.Tensor] = []
    end = TokenCollector.end_step

    def watched(self: TokenCollector) -> None:
        end(self)
        kept.extend(record.shares for record in self.images[0].records)

    monkeypatch.setattr(TokenCollector, "end_step", watched)
    assert torch.equal(_run(known[name]), _run(known["stock"]))
    assert len(kept) == len(model.adapter.config.cross_attention)
    assert all(len(shares) == rows for shares in kept)
    assert all(torch.allclose(shares.float().sum(0), torch.ones(()), atol=0.01) for shares in kept)


def test_every_turn_leaves_the_unet_as_the_next_needs_it(known: dict[str, Method]) -> None:
    before = _run(known["stock"])
    for method in known.values():
        _run(method)
    assert torch.equal(_run(known["stock"]), before)
