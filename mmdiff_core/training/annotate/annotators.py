"""The three models of the annotation, by transformers: a captioner, a detector and a segmenter.

Nothing is downloaded here: ``python -m mmdiff_core models --download NAME`` does that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from transformers import (
    AutoModelForImageTextToText,
    AutoModelForZeroShotObjectDetection,
    AutoProcessor,
    AutoTokenizer,
    SamModel,
)
from transformers.models.grounding_dino.image_processing_pil_grounding_dino import GroundingDinoImageProcessorPil
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

from mmdiff_core.errors import ModelError
from mmdiff_core.training.annotated.format import BoxPixels
from mmdiff_core.weights.hub import ANNOTATORS, find_folder, first_line
from mmdiff_core.weights.integrity import check_weight_files

CAPTIONER, DETECTOR, SEGMENTER = (model.name for model in ANNOTATORS)
MAX_TOKENS = 40  # of a caption


@dataclass(frozen=True)
class Detection:
    """One detected thing."""

    phrase: int  # its index among the phrases
    score: float  # 0 to 1
    box: BoxPixels


class Captioner(Protocol):
    """Describes an image."""

    def __call__(self, image: Image.Image) -> str: ...


class Detector(Protocol):
    """Finds the things that phrases name."""

    def __call__(self, image: Image.Image, phrases: Sequence[str]) -> list[Detection]: ...


class Segmenter(Protocol):
    """Outlines the things in boxes: masks (H, W) bool."""

    def __call__(self, image: Image.Image, boxes: Sequence[BoxPixels]) -> list[np.ndarray]: ...


class BlipCaptioner:
    """BLIP, or another model with a processor that captions images.

    Raises:
        ModelError: the model is missing, incomplete or of another kind.
    """

    def __init__(self, source: str | PathLike[str] = CAPTIONER, device: str = "cpu") -> None:
        folder = _folder(source)
        self.processor = _open(AutoProcessor, folder, source)
        self.model = _open(AutoModelForImageTextToText, folder, source).to(device).eval()

    @torch.no_grad()
    def __call__(self, image: Image.Image) -> str:
        inputs = self.processor(images=image, return_tensors="pt").to(self.model.device)
        ids = self.model.generate(**inputs, max_new_tokens=MAX_TOKENS, do_sample=False)
        return " ".join(self.processor.batch_decode(ids, skip_special_tokens=True)[0].split())


class GroundingDino:
    """GroundingDINO, with all phrases in a single text.

    A box belongs to the phrase whose tokens score highest in it, and takes that score.

    Args:
        source: folder or name.
        device: where it runs.
        threshold: of the scores, below which boxes are dropped; the official tool's value.

    Raises:
        ModelError: as ``BlipCaptioner``.
    """

    def __init__(self, source: str | PathLike[str] = DETECTOR, device: str = "cpu", threshold: float = 0.3) -> None:
        folder, self.threshold = _folder(source), threshold
        self.images = _open(GroundingDinoImageProcessorPil, folder, source)
        self.tokenizer = _open(AutoTokenizer, folder, source)
        self.model = _open(AutoModelForZeroShotObjectDetection, folder, source).to(device).eval()

    @torch.no_grad()
    def __call__(self, image: Image.Image, phrases: Sequence[str]) -> list[Detection]:
        text, spans = join_phrases(phrases)
        encoded = self.tokenizer(text, return_tensors="pt", return_offsets_mapping=True, truncation=True)
        offsets = encoded.pop("offset_mapping")[0].tolist()
        pixels = self.images(images=image, return_tensors="pt")
        output = self.model(**pixels.to(self.model.device), **encoded.to(self.model.device))
        scores = output.logits[0].float().sigmoid().cpu()  # (queries, tokens)
        by_phrase = torch.stack([_phrase_scores(scores, offsets, span) for span in spans], dim=1)
        return self._detections(by_phrase, output.pred_boxes[0].float().cpu(), image.size)

    def _detections(self, scores: torch.Tensor, boxes: torch.Tensor, size: tuple[int, int]) -> list[Detection]:
        """Return the boxes above the threshold.

        Args:
            scores: (queries, phrases).
            boxes: (queries, 4), centre and size in fractions.
            size: (width, height) of the image.
        """
        best, phrases = scores.max(1)
        detections = []
        for query in (best >= self.threshold).nonzero()[:, 0].tolist():
            x, y, width, height = boxes[query].tolist()
            left, top = max(0.0, x - width / 2) * size[0], max(0.0, y - height / 2) * size[1]
            right, bottom = min(1.0, x + width / 2) * size[0], min(1.0, y + height / 2) * size[1]
            detections.append(Detection(int(phrases[query]), float(best[query]), (left, top, right, bottom)))
        return detections


class Sam:
    """Segment Anything, one mask per box.

    Raises:
        ModelError: as ``BlipCaptioner``.
    """

    def __init__(self, source: str | PathLike[str] = SEGMENTER, device: str = "cpu") -> None:
        folder = _folder(source)
        self.images = _open(SamImageProcessorPil, folder, source)
        self.model = _open(SamModel, folder, source).to(device).eval()

    @torch.no_grad()
    def __call__(self, image: Image.Image, boxes: Sequence[BoxPixels]) -> list[np.ndarray]:
        inputs = self.images(images=image, return_tensors="pt")
        (height, width), (inner_height, inner_width) = (
            torch.as_tensor(inputs[name])[0].tolist() for name in ("original_sizes", "reshaped_input_sizes")
        )
        scale = torch.tensor([inner_width / width, inner_height / height]).repeat(2)
        output = self.model(
            pixel_values=inputs["pixel_values"].to(self.model.device),
            input_boxes=(torch.tensor(boxes) * scale)[None].to(self.model.device),
            multimask_output=False,
        )
        masks = self.images.post_process_masks(
            output.pred_masks.float().cpu(), [(height, width)], [(inner_height, inner_width)]
        )[0]
        return [mask[0].numpy().astype(bool) for mask in masks]


def join_phrases(phrases: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """Join phrases as the detector reads them, "a cat. a dog."; return the text and the span of each phrase."""
    text, spans = "", []
    for phrase in phrases:
        spans.append((len(text), len(text) + len(phrase)))
        text += f"{phrase.lower()}. "
    return text.strip(), spans


def _phrase_scores(scores: torch.Tensor, offsets: Sequence[Sequence[int]], span: tuple[int, int]) -> torch.Tensor:
    """Return the best score of a phrase's tokens in every query; (queries, tokens) -> (queries,)."""
    tokens = [index for index, (start, end) in enumerate(offsets) if start < end and span[0] <= start < span[1]]
    return scores[:, tokens].amax(1) if tokens else torch.zeros(len(scores))


def _folder(source: str | PathLike[str]) -> Path:
    folder = find_folder(source, "config.json")
    check_weight_files(folder, source)
    return folder


def _open(kind: Any, folder: Path, source: str | PathLike[str]) -> Any:
    """Open a part of a model; raise ModelError if that fails."""
    try:
        return kind.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, ImportError, RuntimeError, KeyError) as error:
        raise ModelError(
            f'The model "{source}" cannot be opened as what is needed here: a file in "{folder}" is damaged, missing, '
            f"or of another kind. ({first_line(error)})"
        ) from error
