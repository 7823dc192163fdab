"""Where a loaded model came from: enough to load the same one again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mmdiff_core.deprecation import renamed_arguments

BUILT_IN = "toybox"


@renamed_arguments(memory="offload")
@dataclass(frozen=True)
class ModelSource:
    """The arguments of ``Personalizer.load``; those that a complete model ignores keep their defaults.

    Attributes:
        model: the built-in model's name, a folder, or a name on the hub.
        adapter: a file or a folder.
        image_encoder: a folder or a name on the hub.
        device: torch's name of the device.
        dtype: torch's name of the precision.
        offload: the requested offloading mode.
        text_encoder_2_lora: whether that LoRA is applied.
        complete: the model includes MM-Diff's weights: ``--model`` on the command line, else ``--base``.
    """

    model: str = BUILT_IN
    adapter: str | None = None
    image_encoder: str | None = None
    device: str = "cpu"
    dtype: str = "float32"
    offload: str = "none"
    text_encoder_2_lora: bool = False
    complete: bool = True

    def without_folders(self) -> ModelSource:
        """Return the source for pages that others see: only the last part of each path; hub names stay whole."""
        return replace(
            self,
            model=shown_name(self.model),
            adapter=self.adapter and Path(self.adapter).name,
            image_encoder=self.image_encoder and shown_name(self.image_encoder),
        )


def shown_name(name: str) -> str:
    """Return a model's name for others: the last part of a folder's path, which is private, or the whole hub name."""
    folder = Path(name)
    if folder.is_file():
        return folder.name
    is_folder = folder.is_absolute() or len(folder.parts) > 2 or folder.is_dir()
    return folder.resolve().name if is_folder else name


BUILT_IN_MODEL = ModelSource()
