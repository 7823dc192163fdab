"""TensorBoard's log of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from mmdiff_core.errors import TrainingError


class Board:
    """Writes numbers and pictures for ``tensorboard --logdir``; what lies after ``step`` is taken back.

    Raises:
        TrainingError: tensorboard is not installed.
    """

    def __init__(self, folder: Path, step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise TrainingError(
                "Logging to TensorBoard needs tensorboard: pip install -r requirements-train.txt, or say --no-board."
            ) from error
        self.writer = SummaryWriter(str(folder), purge_step=step)

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, image: Image.Image) -> None:
        self.writer.add_image(name, np.asarray(image.convert("RGB")), step, dataformats="HWC")

    def close(self) -> None:
        self.writer.close()
