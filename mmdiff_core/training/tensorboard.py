"""TensorBoard's log of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from mmdiff_core.errors import TrainingError


class TensorBoardWriter:
    """Writes numbers and images for ``tensorboard --logdir``; entries from after ``step`` are dropped.

    Raises:
        TrainingError: tensorboard is not installed.
    """

    def __init__(self, folder: Path, step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise TrainingError(
                "Logging to TensorBoard needs tensorboard: pip install -r requirements-train.txt, or pass "
                "--no-tensorboard."
            ) from error
        self._writer = SummaryWriter(str(folder), purge_step=step)

    def add_scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Log each number under its own name."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def add_image(self, step: int, name: str, image: Image.Image) -> None:
        """Log an image."""
        self._writer.add_image(name, np.asarray(image.convert("RGB")), step, dataformats="HWC")

    def close(self) -> None:
        """Flush and close the file."""
        self._writer.close()
