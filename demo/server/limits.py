"""How much a visitor may ask for: flags and environment variables, stricter by default where anybody may come in."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

from mmdiff_core.errors import PhotoError, PromptError, SettingsError

if TYPE_CHECKING:
    from mmdiff_core.backbones.base import Defaults
    from mmdiff_core.types import GenerateRequest, Size

PREFIX = "MMDIFF_"
MAX_SUBJECTS = 4  # subjects of a request


def _limit(local_limits: int, hosted_limits: int, says: str) -> int:
    return field(default=local_limits, metadata={"hosted": hosted_limits, "help": says})


@dataclass(frozen=True)
class Limits:
    """One number a limit; each is a flag, ``--upload-mb``, and a variable, ``MMDIFF_UPLOAD_MB``."""

    upload_mb: int = _limit(40, 15, "megabytes of one uploaded file")
    body_kb: int = _limit(4096, 1024, "kilobytes of any other request")
    body_seconds: int = _limit(300, 120, "seconds that a request may take to arrive")
    idle_seconds: int = _limit(30, 15, "seconds without a byte after which a request is given up")
    queue: int = _limit(32, 24, "visitors that may wait for the model; the next is told that the queue is full")
    run_seconds: int = _limit(3600, 300, "seconds that one request may keep the model")
    prompt_characters: int = _limit(4000, 1000, "characters of a prompt")
    photos: int = _limit(16, 6, "photos of a subject")
    threads: int = _limit(40, 8, "things that are done at the same time beside the model, such as opening photos")
    pictures: int = _limit(4, 2, "pictures of one request")
    comparison_pictures: int = _limit(64, 12, "pictures of one comparison, which has the time of one request")
    steps: int = _limit(100, 50, "denoising steps of a picture")
    side: int = _limit(2048, 1024, "pixels of a picture's longer side")
    shelf_pictures: int = _limit(16, 6, "pictures that a session keeps for downloads")
    shelf_mb: int = _limit(256, 32, "megabytes of heatmaps that a session keeps")
    keep_minutes: int = _limit(60, 20, "minutes that files and pictures of a session are kept after its tab is closed")
    sessions: int = _limit(1000, 400, "sessions that are remembered at once")

    def within(self, sizes: Size) -> Size:
        """A model's sizes, no larger than ``side``."""
        largest = max(min(sizes.largest, self.side // sizes.multiple * sizes.multiple), sizes.smallest)
        width, height = (min(side, largest) for side in sizes.default)
        return replace(sizes, default=(width, height), largest=largest)

    def fewer_steps(self, defaults: Defaults) -> Defaults:
        """A model's defaults, with no more than ``steps``."""
        steps = min(defaults.steps, self.steps)
        return replace(defaults, steps=steps, start_step=min(defaults.start_step, steps))

    def check(self, request: GenerateRequest) -> None:
        """Refuse a request that asks for too much.

        Raises:
            PromptError, PhotoError, SettingsError: it does; the message gives the limit.
        """
        self.check_words("prompt", request.prompt)
        self.check_words("negative prompt", request.negative_prompt or "")
        for subject in request.subjects:
            self.check_words("name of a subject", subject.name)
            self.check_photos(subject.name, len(subject.photos))
        _at_most("pictures", len(request.seeds), self.pictures)
        _at_most("steps", request.steps or 0, self.steps)
        _at_most("pixels a side", max(request.width or 0, request.height or 0), self.side)

    def check_words(self, what: str, text: str) -> None:
        """Refuse a text that is too long."""
        if len(text) > self.prompt_characters:
            raise PromptError(
                f"The {what} has {len(text):,} characters, and at most {self.prompt_characters:,} are taken here: "
                "shorten it."
            )

    def check_photos(self, name: str, count: int) -> None:
        """Refuse a subject of too many photos, before any is opened."""
        if count > self.photos:
            raise PhotoError(f'"{name[:40]}" has {count} photos, and at most {self.photos} are taken: remove some.')


def _at_most(what: str, value: float, most: int) -> None:
    if value > most:
        raise SettingsError(f"{value:,} {what} are too many here: ask for {most:,} at most.")


def local_limits() -> Limits:
    """For people on their own machine."""
    return Limits()


def hosted_limits() -> Limits:
    """For anybody who comes in."""
    return Limits(**{each.name: each.metadata["hosted"] for each in fields(Limits)})


def limits_of(model: object) -> Limits:
    """Those that a model is served within; the usual ones for a bare model."""
    found = getattr(model, "limits", None)
    return found if isinstance(found, Limits) else local_limits()


def is_hosted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this runs as a Space, or was told by MMDIFF_HOSTED that anybody may come in."""
    return "SPACE_ID" in environment or environment.get(f"{PREFIX}HOSTED", "").lower() in ("1", "true", "yes")


def lends_gpus(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this host lends GPUs for a request at a time (ZeroGPU)."""
    return environment.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def add_limit_flags(parser: argparse.ArgumentParser) -> None:
    """A flag for each limit; what is not given comes from the environment, else from the defaults."""
    group = parser.add_argument_group("limits", f"Each is a variable, too: --upload-mb is {PREFIX}UPLOAD_MB.")
    for each in fields(Limits):
        says = f"{each.metadata['help']}; {each.default}, hosted {each.metadata['hosted']}"
        group.add_argument("--" + each.name.replace("_", "-"), type=int, metavar="N", help=says)


def limits_from(flags: argparse.Namespace, on_a_host: bool, environment: Mapping[str, str] = os.environ) -> Limits:
    """The limits that flags and environment ask for.

    Raises:
        SettingsError: one is not a whole number from 1 on.
    """
    limits = hosted_limits() if on_a_host else local_limits()
    asked = {each.name: _asked(each.name, flags, environment) for each in fields(Limits)}
    return replace(limits, **{name: number for name, number in asked.items() if number is not None})


def _asked(name: str, flags: argparse.Namespace, environment: Mapping[str, str]) -> int | None:
    flag, variable = getattr(flags, name, None), PREFIX + name.upper()
    where, text = (f"--{name.replace('_', '-')}", flag) if flag is not None else (variable, environment.get(variable))
    if text is None or text == "":
        return None
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise SettingsError(f'{where} must be a whole number from 1 on, but is "{text}".')
    return number
