from __future__ import annotations

import pytest

from demo.form.form import Settings
from demo.live.few_steps import FewSteps
from demo.server.limits import Limits
from tests.helpers.stand_in import Defaults

USUAL = Defaults(steps=20, guidance=3.0, start_step=4)


def test_the_models_own_preset_comes_first() -> None:
    assert FewSteps.of(USUAL, Defaults(8, 3.0, 1), Limits()) == FewSteps(8, 1)
    assert FewSteps.of(USUAL, Defaults(4, 1.0, 0), Limits()) == FewSteps(4, 0, guidance=1.0)  # made for another
    student = Defaults(4, 1.0, 0, few=True, scheduler="distilled")
    assert FewSteps.of(USUAL, student, Limits()) == FewSteps(4, 0, "distilled", 1.0)
    assert FewSteps.of(USUAL, None, Limits()) == FewSteps(10, 2, "unipc")
    assert FewSteps.of(USUAL, None, Limits(steps=6)).steps == 6
    assert FewSteps.of(Defaults(4, 1.0, 0, few=True), None, Limits()) == FewSteps(4, 0)


@pytest.mark.parametrize(
    ("given", "made"),
    [
        (Settings(steps=20, start_step=5, pictures=3, sampler="heun"), Settings(steps=8, start_step=2)),
        (Settings(steps=20, start_step=20), Settings(steps=8, start_step=8)),
        (Settings(start_step=10), Settings(steps=8, start_step=4)),  # steps left open: the model's twenty
        (Settings(steps=8, start_step=3), Settings(steps=8, start_step=3)),
        (Settings(steps=2, start_step=1, sampler="heun"), Settings(steps=2, start_step=1)),
        (Settings(steps=20, start_step=None), Settings(steps=8, start_step=None)),  # cleared: said beside its field
    ],
)
def test_one_picture_with_few_steps_and_the_delay_in_proportion(given: Settings, made: Settings) -> None:
    assert FewSteps(8, 0).applied(given, 20) == made


def test_a_preset_with_a_guidance_of_its_own_keeps_it() -> None:
    settings = Settings(steps=20, start_step=0, guidance=5.0)
    assert FewSteps(4, 0, guidance=1.0).applied(settings, 20).guidance == 1.0
    assert FewSteps(4, 0).applied(settings, 20).guidance == 5.0
    presets = (FewSteps(4, 0, guidance=1.0), FewSteps(4, 0, guidance=2.0), FewSteps(4, 0))
    assert [preset.is_unguided for preset in presets] == [True, False, False]
