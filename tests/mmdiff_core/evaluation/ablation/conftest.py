"""A tiny base and referee, with samples that are rendered in this process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from mmdiff_core.backbones import toybox
from mmdiff_core.backbones.base import Defaults
from mmdiff_core.backbones.toybox import Toybox, load_toybox
from mmdiff_core.evaluation.ablation import run as run_module
from mmdiff_core.evaluation.ablation import side_by_side
from mmdiff_core.evaluation.ablation.adapter_variants import choose_variants
from mmdiff_core.evaluation.ablation.run import AblationOptions, recipe_of
from mmdiff_core.evaluation.toybox import toybox_judge
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.referee.network import Referee, save_referee
from mmdiff_core.toyworld.scenes.vocabulary import save_vocabulary
from mmdiff_core.training.toybox import cached_dataset
from mmdiff_core.training.toybox.cached_dataset import SHARD_SIZE
from tests.helpers import tiny
from tests.helpers.ablation import NAMES
from tests.helpers.small_referee import CONFIG, VOCABULARY


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toybox_judge, "CANDIDATES", 4)  # in a gallery
        patch.setattr(toybox_judge, "DISTRACTORS", 3)
        patch.setattr(toybox, "DEFAULTS", Defaults(steps=2, guidance=2.0))
        patch.setattr(run_module, "TIMED_STEPS", 1)
        patch.setattr(side_by_side, "ROUNDS", 1)
        patch.setattr(side_by_side, "SHOWN", {1: 1, 2: 1})
        yield


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> AblationOptions:
    """An ablation of three variants, whose dataset is rendered."""
    folder = tmp_path_factory.mktemp("ablation")
    model = tiny.save_toybox(folder / "model")
    save_vocabulary(VOCABULARY, model)
    torch.manual_seed(0)
    save_referee(Referee(CONFIG), folder / "referee.safetensors")
    options = AblationOptions(
        folder / "out",
        choose_variants(NAMES),
        model,
        folder / "referee.safetensors",
        steps=3,
        batch=4,
        scenes=12,
        prompts=1,
    )
    recipe = recipe_of(load_toybox(model)[0], options, 3)
    (options.folder / "pool").mkdir(parents=True)
    cached_dataset.render_shard(options.folder / "pool" / "00000.safetensors", recipe, SHARD_SIZE)
    return options


@pytest.fixture(scope="module")
def base(options: AblationOptions) -> tuple[Toybox, MMDiffAdapter]:
    return load_toybox(options.start)
