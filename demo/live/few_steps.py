"""The preset with few steps: what *Few steps* puts into the fields, and what *Live* makes its pictures with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from demo.form.form import Settings

if TYPE_CHECKING:
    from demo.server.limits import Limits
    from mmdiff_core.backbones.base import Defaults

SHARE = 0.5  # of the model's own number of steps, where it has no preset
SCHEDULER = "unipc"  # with few steps it is nearer to many steps than DPM++


@dataclass(frozen=True)
class FewSteps:
    """The preset; ``scheduler`` None is the model's own, ``guidance`` None whatever the person chose."""

    steps: int
    start_step: int
    scheduler: str | None = None
    guidance: float | None = None

    @property
    def is_unguided(self) -> bool:
        """Whether its pictures are made without guidance, whatever the person chose."""
        return self.guidance is not None and self.guidance <= 1

    @classmethod
    def of(cls, defaults: Defaults, fast: Defaults | None, limits: Limits) -> FewSteps:
        """Return the preset that a model brings, else one in proportion to its defaults.

        A model that was made for few steps has no other preset than its defaults.
        """
        if fast is not None:
            guidance = None if fast.guidance == defaults.guidance else fast.guidance
            return cls(fast.steps, fast.start_step, fast.scheduler, guidance)
        if defaults.few:
            return cls(defaults.steps, defaults.start_step)
        steps = max(1, min(round(defaults.steps * SHARE), limits.steps))
        return cls(steps, min(round(defaults.start_step * SHARE), steps), SCHEDULER)

    def applied(self, settings: Settings, usual_steps: int) -> Settings:
        """Return settings for one picture with few steps, the delay in proportion to the steps.

        Args:
            settings: of the fields, whose steps count where they are fewer.
            usual_steps: the model's own number.
        """
        own = settings.steps or usual_steps
        steps = min(own, self.steps)
        delay = settings.start_step and round(settings.start_step / own * steps)
        fewer = replace(settings, pictures=1, steps=steps, start_step=delay, sampler=self.scheduler)
        return fewer if self.guidance is None else replace(fewer, guidance=self.guidance)
