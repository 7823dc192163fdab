"""Similarity of an image to its subject and prompt: CLIP-I, DINO, CLIP-T (arXiv 2208.12242, section 4.2), and faces.

Letters: n images, m photos, E width of an embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPModel, CLIPTokenizer, ViTModel

from mmdiff_core.encoders.face import DetectedFace, FaceAnalyser
from mmdiff_core.encoders.image import CLIP_MEAN, CLIP_STD
from mmdiff_core.errors import ModelError
from mmdiff_core.weights.hub import CLIP_EVALUATOR, DINO_EVALUATOR, find_folder, first_line
from mmdiff_core.weights.integrity import weight_problems

DINO_MEAN, DINO_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DINO_MARGIN = 256 / 224  # DINO gets the middle of a slightly larger image
_BATCH = 16


def mean_cosine(a: Tensor, b: Tensor) -> float:
    """Return the mean over all pairs of the cosine between (n, E) and (m, E)."""
    return float((F.normalize(a.double(), dim=-1) @ F.normalize(b.double(), dim=-1).T).mean())


def preprocess(
    images: Sequence[Image.Image], size: int, margin: float, mean: Sequence[float], std: Sequence[float]
) -> Tensor:
    """Resize the shorter side to size * margin, crop the middle and normalise, (n, 3, size, size)."""
    return torch.stack([_crop(image.convert("RGB"), size, round(size * margin), mean, std) for image in images])


def _crop(image: Image.Image, size: int, side: int, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    scale = side / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    pixels = torch.from_numpy(np.array(image.crop((left, top, left + size, top + size)))).float() / 255
    return ((pixels - torch.tensor(mean)) / torch.tensor(std)).movedim(-1, 0)


@dataclass(frozen=True, eq=False)
class Evaluators:
    """The networks that measure, all independent of the model under test."""

    clip: CLIPModel
    tokenizer: CLIPTokenizer
    dino: ViTModel
    faces: FaceAnalyser | None = None  # None: faces are not compared

    @classmethod
    def load(
        cls,
        clip: str | PathLike[str] = CLIP_EVALUATOR,
        dino: str | PathLike[str] = DINO_EVALUATOR,
        device: str | torch.device = "cpu",
        faces: FaceAnalyser | None = None,
    ) -> Evaluators:
        """Load from folders or the hub's cache, without downloads.

        Raises:
            ModelError: one is missing or incomplete; the message says how to get it.
        """
        clip_folder, dino_folder = _checked_folder(clip), _checked_folder(dino)
        try:
            whole = CLIPModel.from_pretrained(clip_folder, local_files_only=True)
            tokenizer = CLIPTokenizer.from_pretrained(clip_folder, local_files_only=True)
            vit = ViTModel.from_pretrained(dino_folder, local_files_only=True, add_pooling_layer=False)
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(
                f'"{clip}" and "{dino}" must be a CLIP model and a DINO ViT, whole and undamaged. ({first_line(error)})'
            ) from error
        placed: list[Any] = [network.eval().requires_grad_(False).to(device) for network in (whole, vit)]
        return cls(placed[0], tokenizer, placed[1], faces)

    @torch.no_grad()
    def clip_images(self, images: Sequence[Image.Image]) -> Tensor:
        """Return CLIP's image embeddings, (n, E)."""
        pixels = preprocess(images, self.clip.config.vision_config.image_size, 1.0, CLIP_MEAN, CLIP_STD)
        clip: Any = self.clip
        return _batched(lambda x: clip.visual_projection(clip.vision_model(pixel_values=x).pooler_output), pixels, clip)

    @torch.no_grad()
    def clip_text(self, prompt: str) -> Tensor:
        """Return CLIP's text embedding, (1, E)."""
        tokens = self.tokenizer([prompt], padding=True, truncation=True, return_tensors="pt").to(_device(self.clip))
        clip: Any = self.clip
        return clip.text_projection(clip.text_model(**tokens).pooler_output).float().cpu()

    @torch.no_grad()
    def dino_images(self, images: Sequence[Image.Image]) -> Tensor:
        """Return DINO's class token after the last norm, (n, E)."""
        pixels = preprocess(images, self.dino.config.image_size, DINO_MARGIN, DINO_MEAN, DINO_STD)
        return _batched(lambda x: self.dino(pixel_values=x).last_hidden_state[:, 0], pixels, self.dino)

    def face_embeddings(self, photos: Sequence[Image.Image]) -> Tensor | None:
        """Return ArcFace embeddings (m, 512) of the largest face of each photo; None without faces or face analyser."""
        found = [] if self.faces is None else [self.faces.find(photo) for photo in photos]
        largest = [max(faces, key=lambda face: face.area) for faces in found if faces]
        return _embeddings(largest) if largest else None

    def face_similarity(self, image: Image.Image, own: Tensor) -> float | None:
        """Return the mean cosine of a person's photos and the most similar face of an image; None: no face."""
        assert self.faces is not None
        found = self.faces.find(image)
        return max((mean_cosine(_embeddings([face]), own) for face in found), default=None) if found else None


def _embeddings(faces: Sequence[DetectedFace]) -> Tensor:
    return torch.tensor([face.face.embedding for face in faces])


def _batched(network: Any, pixels: Tensor, module: nn.Module) -> Tensor:
    return torch.cat([network(chunk.to(_device(module))).float().cpu() for chunk in pixels.split(_BATCH)])


def _device(module: nn.Module) -> torch.device:
    return next(module.parameters()).device


def _checked_folder(source: str | PathLike[str]) -> Path:
    """Find the folder of an evaluator, and check its weights.

    Raises:
        ModelError: it is missing or incomplete.
    """
    folder = find_folder(source, "config.json")
    if (problem := next(weight_problems(folder), None)) is not None:
        raise ModelError(f'"{source}", which measures the images, is incomplete: {problem}. Get it again.')
    return folder
