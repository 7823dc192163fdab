"""Where a loaded model came from: enough to load the same one again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

BUILT_IN = "toybox"


@dataclass(frozen=True)
class Origin:
    """The arguments of ``Personalizer.load``; those that a complete model does not heed are as by default.

    Attributes:
        model: the built-in model's name, a folder, or a name on the hub.
        adapter: a file or a folder.
        image_encoder: a folder or a name on the hub.
        device: as torch names it.
        dtype: torch's name of the precision.
        memory: the memory mode that was asked for.
        text_encoder_2_lora: whether that LoRA is applied.
        complete: the model brings MM-Diff's weights along: ``--model`` on the command line, else ``--base``.
    """

    model: str = BUILT_IN
    adapter: str | None = None
    image_encoder: str | None = None
    device: str = "cpu"
    dtype: str = "float32"
    memory: str = "none"
    text_encoder_2_lora: bool = False
    complete: bool = True

    def without_folders(self) -> Origin:
        """For pages that others see: of a path only its last part; names on the hub stay."""
        return replace(
            self,
            model=shown_name(self.model),
            adapter=self.adapter and Path(self.adapter).name,
            image_encoder=self.image_encoder and shown_name(self.image_encoder),
        )


def shown_name(name: str) -> str:
    """A model's name for others: of a folder its last part, since the rest is this machine's own; a hub name whole."""
    folder = Path(name)
    is_folder = folder.is_absolute() or len(folder.parts) > 2 or folder.is_dir()
    return folder.resolve().name if is_folder else name


BUILT_IN_MODEL = Origin()
