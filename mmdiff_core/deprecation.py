"""Old names that still work for one version, with a warning that says the new one."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import TypeVar

Class = TypeVar("Class", bound=type)


def renamed_arguments(**names: str) -> Callable[[Class], Class]:
    """Return a class decorator whose constructor also takes old keywords: ``renamed_arguments(old="new")``."""

    def decorate(cls: Class) -> Class:
        construct = cls.__init__  # type: ignore[misc]

        @functools.wraps(construct)
        def __init__(self: object, *args: object, **kwargs: object) -> None:
            for old in names.keys() & kwargs.keys():
                warn_renamed(f"{cls.__name__}({old}=...)", f"{names[old]}=")
                kwargs[names[old]] = kwargs.pop(old)
            construct(self, *args, **kwargs)

        cls.__init__ = __init__  # type: ignore[misc]
        return cls

    return decorate


def warn_renamed(old: str, new: str) -> None:
    """Warn the caller's caller that a name is going to be removed."""
    warnings.warn(f"{old} is deprecated and will be removed in the next version: write {new}", DeprecationWarning, 3)
