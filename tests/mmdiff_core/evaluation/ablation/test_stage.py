"""Training of variants: each trains its adapter alone, on the same samples in the same order."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmdiff_core.backbones.toybox import Toybox
from mmdiff_core.evaluation.ablation.adapter_variants import FULL, VARIANTS
from mmdiff_core.evaluation.ablation.run import AblationOptions
from mmdiff_core.evaluation.ablation.stage import ADAPTER, load_variant
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.training.precision import attention_kernels
from mmdiff_core.training.toybox.recipes import RECIPES
from mmdiff_core.training.trainer import Trainer
from tests.helpers.ablation import stage_of


@pytest.mark.parametrize(
    "name",
    [name if name in (FULL, "ip-adapter-plus") else pytest.param(name, marks=pytest.mark.slow) for name in VARIANTS],
)
def test_every_variant_trains_its_adapter_alone(
    name: str, options: AblationOptions, base: tuple[Toybox, MMDiffAdapter], tmp_path: Path
) -> None:
    stage, variant = stage_of(name, options, base, tmp_path), VARIANTS[name]
    batch = stage.batch()
    assert batch.batch.photos.any()
    terms = stage.network(batch)
    losses = variant.weigh(RECIPES["cpu"].losses)
    asked = {f"{map_kind}_map" for map_kind in ("text", "image") if getattr(losses, f"{map_kind}_constraint")}
    assert terms.keys() == {"denoise", *asked}
    torch.stack(list(terms.values())).sum().backward()
    reached = {n for n, parameter in stage.adapter.named_parameters() if parameter.grad is not None}
    assert {n.split(".")[0] for n in reached} == {n.split(".")[0] for n, _ in stage.adapter.named_parameters()}
    backbone, _ = base
    frozen = [*backbone.unet.parameters(), *backbone.text_encoders[0].parameters()]
    assert all(parameter.grad is None for parameter in frozen)
    stage.finish()
    again = load_variant(tmp_path / ADAPTER)
    assert type(again) is type(stage.adapter)
    assert again.config == stage.adapter.config
    assert again.state_dict().keys() == stage.adapter.state_dict().keys()


def test_every_variant_sees_the_same_in_the_same_order(
    options: AblationOptions, base: tuple[Toybox, MMDiffAdapter], tmp_path: Path
) -> None:
    first, second = (stage_of(name, options, base, tmp_path) for name in (FULL, "ip-adapter-plus"))
    noises = []
    for stage in (first, second):
        one, two = stage.batch(), stage.batch()
        stage.network(one)
        noises.append((one, two, torch.randn(3)))
    (a, b, noise), (c, d, other) = noises
    for x, y in ((a, c), (b, d)):
        assert torch.equal(x.batch.latents, y.batch.latents)
        assert torch.equal(x.batch.photos, y.batch.photos)
        assert torch.equal(x.batch.tokens.ids, y.batch.tokens.ids)
    assert torch.equal(noise, other)
    assert not torch.equal(a.batch.latents, b.batch.latents)


@pytest.mark.slow
def test_interrupted_variant_goes_on_with_the_samples_of_the_others(
    options: AblationOptions, base: tuple[Toybox, MMDiffAdapter], tmp_path: Path
) -> None:
    whole = stage_of(FULL, options, base, tmp_path / "whole", steps=4)
    assert Trainer(whole, tmp_path / "whole").run()
    first = stage_of(FULL, options, base, tmp_path / "parts", steps=4)
    trainer = Trainer(first, tmp_path / "parts")
    with attention_kernels(torch.device("cpu")):
        for _ in range(2):
            trainer.train_step([first.batch()])
    trainer._save()  # and then it is killed
    rest = stage_of(FULL, options, base, tmp_path / "parts", steps=4)
    trainer = Trainer(rest, tmp_path / "parts")
    rest.number = trainer.step
    assert trainer.step == 2
    assert trainer.run()
    for one, other in zip(whole.trained(), rest.trained(), strict=True):
        torch.testing.assert_close(one, other)
