"""Checks of numbers that several commands take."""

from __future__ import annotations

import argparse

from mmdiff_core.errors import SettingsError


def check_at_least(args: argparse.Namespace, **least: float) -> None:
    """Check that no flag is below its least value; a flag that was not given passes.

    Raises:
        SettingsError: one is; the message names it.
    """
    for name, number in least.items():
        value = getattr(args, name)
        if value is not None and value < number:
            raise SettingsError(f"--{name.replace('_', '-')} must be at least {number}, but is {value}.")
