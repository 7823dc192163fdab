"""The numbers and their presets."""

from __future__ import annotations

from demo.studio.generate import GenerationRunner
from tests.helpers.stand_in import Defaults


def test_a_preset_keeps_the_proportion_of_steps_and_delay(generation: GenerationRunner) -> None:
    settings = generation.form.settings
    assert settings._preset("usual_steps") == (settings.defaults.steps, settings.defaults.start_step, "own")
    assert settings._preset("many_steps") == (12, 2, "own")
    assert settings._preset("few_steps") == (3, 0, "unipc")
    settings.fast = Defaults(steps=4, start_step=0)
    assert settings._preset("few_steps") == (4, 0, "own")
