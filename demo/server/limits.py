"""What a visitor may ask for at most: flags and environment variables, with stricter defaults on a public page."""

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
MAX_SUBJECTS = 4  # of a request
_FORMER = {"history_pictures": "shelf_pictures", "history_mb": "shelf_mb"}  # names that still work for one version


def _limit(local: int, hosted: int, description: str) -> int:
    return field(default=local, metadata={"hosted": hosted, "help": description})


@dataclass(frozen=True)
class Limits:
    """Every limit is a flag, ``--upload-mb``, and an environment variable, ``MMDIFF_UPLOAD_MB``."""

    upload_mb: int = _limit(40, 15, "megabytes of an uploaded file")
    body_kb: int = _limit(4096, 1024, "kilobytes of any other request")
    body_seconds: int = _limit(300, 120, "seconds that a request may take to arrive")
    idle_seconds: int = _limit(30, 15, "seconds without a byte after which a request is given up")
    queue: int = _limit(32, 24, "requests that may wait for the model; further ones are refused")
    run_seconds: int = _limit(3600, 300, "seconds that one request may run")
    prompt_characters: int = _limit(4000, 1000, "characters of a prompt")
    photos: int = _limit(16, 6, "photos of a subject")
    threads: int = _limit(40, 8, "threads for work beside the model, such as opening photos")
    pictures: int = _limit(4, 2, "pictures of one request")
    comparison_pictures: int = _limit(64, 12, "pictures of one comparison, which runs as one request")
    steps: int = _limit(100, 50, "denoising steps of a picture")
    side: int = _limit(2048, 1024, "pixels of a picture's longer side")
    history_pictures: int = _limit(16, 6, "pictures in a session's history, for downloads")
    history_mb: int = _limit(256, 32, "megabytes of heatmaps in a session's history")
    keep_minutes: int = _limit(60, 20, "minutes that a session's files and pictures are kept after its tab is closed")
    sessions: int = _limit(1000, 400, "sessions at the same time")

    def within(self, sizes: Size) -> Size:
        """Return a model's sizes, no larger than ``side``."""
        largest = max(min(sizes.largest, self.side // sizes.multiple * sizes.multiple), sizes.smallest)
        width, height = (min(side, largest) for side in sizes.default)
        trained = tuple(size for size in sizes.trained if max(size) <= largest)
        return replace(sizes, default=(width, height), largest=largest, trained=trained)

    def fewer_steps(self, defaults: Defaults) -> Defaults:
        """Return a model's defaults with at most ``steps`` steps."""
        steps = min(defaults.steps, self.steps)
        return replace(defaults, steps=steps, start_step=min(defaults.start_step, steps))

    def check(self, request: GenerateRequest) -> None:
        """Check a request against the limits.

        Raises:
            PromptError, PhotoError, SettingsError: it asks for too much; the message gives the limit.
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
        """Check the length of a text."""
        if len(text) > self.prompt_characters:
            raise PromptError(
                f"The {what} has {len(text):,} characters, but at most {self.prompt_characters:,} are allowed here: "
                "shorten it."
            )

    def check_photos(self, name: str, count: int) -> None:
        """Check how many photos a subject has, before any is opened."""
        if count > self.photos:
            raise PhotoError(f'"{name[:40]}" has {count} photos, but at most {self.photos} are allowed: remove some.')


def _at_most(what: str, value: float, most: int) -> None:
    if value > most:
        raise SettingsError(f"{value:,} {what} are too many here: ask for at most {most:,}.")


def local_limits() -> Limits:
    """Return the limits for people on their own machine."""
    return Limits()


def hosted_limits() -> Limits:
    """Return the limits of a public page."""
    return Limits(**{each.name: each.metadata["hosted"] for each in fields(Limits)})


def is_hosted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this is a public page: a Space, or MMDIFF_HOSTED is set."""
    return "SPACE_ID" in environment or environment.get(f"{PREFIX}HOSTED", "").lower() in ("1", "true", "yes")


def lends_gpus(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this host lends a GPU per request (ZeroGPU)."""
    return environment.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def add_limit_flags(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each limit; without it the environment variable counts, else the default."""
    group = parser.add_argument_group("limits", f"Also as environment variables: --upload-mb is {PREFIX}UPLOAD_MB.")
    for each in fields(Limits):
        description = f"{each.metadata['help']}; {each.default}, hosted {each.metadata['hosted']}"
        group.add_argument(_flag(each.name), type=int, metavar="N", help=description)
    for name, former in _FORMER.items():
        group.add_argument(_flag(former), type=int, dest=name, help=argparse.SUPPRESS)


def limits_from(flags: argparse.Namespace, public: bool, environment: Mapping[str, str] = os.environ) -> Limits:
    """Return the limits of flags and environment.

    Raises:
        SettingsError: one is not a whole number above 0.
    """
    limits = hosted_limits() if public else local_limits()
    given = {each.name: _given(each.name, flags, environment) for each in fields(Limits)}
    return replace(limits, **{name: number for name, number in given.items() if number is not None})


def _given(name: str, flags: argparse.Namespace, environment: Mapping[str, str]) -> int | None:
    if (flag := getattr(flags, name, None)) is not None:
        where, text = _flag(name), flag
    else:
        variables = [PREFIX + each.upper() for each in (name, _FORMER.get(name)) if each]
        where, text = next(((each, environment[each]) for each in variables if environment.get(each)), ("", None))
    if text is None:
        return None
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise SettingsError(f'{where} must be a whole number above 0, but is "{text}".')
    return number
