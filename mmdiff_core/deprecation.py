"""Support for old names, which work for one more version with a warning that says the new one."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

Class = TypeVar("Class", bound=type)
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def renamed_arguments(**names: str) -> Callable[[Class], Class]:
    """Return a class decorator whose constructor also takes old keywords: ``renamed_arguments(old="new")``."""

    def decorate(cls: Class) -> Class:
        cls.__init__ = renamed_keywords(cls.__name__, **names)(cls.__init__)  # type: ignore[misc]
        return cls

    return decorate


def renamed_keywords(
    shown: str, /, **names: str
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Return a decorator whose function also takes old keywords; ``shown`` is what the warning calls the function."""

    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        @functools.wraps(function)
        def renaming(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            for old in names.keys() & kwargs.keys():
                warn_renamed(f"{shown}({old}=...)", f"{names[old]}=")
                kwargs[names[old]] = kwargs.pop(old)
            return function(*args, **kwargs)

        return renaming

    return decorate


def warn_renamed(old: str, new: str) -> None:
    """Warn the caller's caller that an old name is going to be removed."""
    warnings.warn(f"{old} is deprecated and will be removed in the next version: write {new}", DeprecationWarning, 3)
