"""MM-Diff: tuning-free personalised image generation with a heatmap per subject (arXiv 2403.15059).

The public names are imported on first use, so that ``import mmdiff_core`` does not load torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmdiff_core.encoders.photo import load_photo
    from mmdiff_core.inspection.record_attention import record_attention
    from mmdiff_core.inspection.token_collector import TokenRecording
    from mmdiff_core.pipeline import Personalizer
    from mmdiff_core.types import Face, GenerateRequest, Subject

__all__ = ["Face", "GenerateRequest", "Personalizer", "Subject", "TokenRecording", "load_photo", "record_attention"]
_MODULES = {
    "Face": "mmdiff_core.types",
    "GenerateRequest": "mmdiff_core.types",
    "Personalizer": "mmdiff_core.pipeline",
    "Subject": "mmdiff_core.types",
    "TokenRecording": "mmdiff_core.inspection.token_collector",
    "load_photo": "mmdiff_core.encoders.photo",
    "record_attention": "mmdiff_core.inspection.record_attention",
}


def __getattr__(name: str) -> object:
    """Import a public name; PEP 562."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
