"""An annotated folder of rendered toys, to try training without images of your own, and for the tests."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
from PIL import Image

from mmdiff_core.encoders.prompt import find_words
from mmdiff_core.toyworld.render.renderer import render, to_bytes
from mmdiff_core.toyworld.scenes.random_scenes import random_scene
from mmdiff_core.toyworld.scenes.scene import Scene
from mmdiff_core.training.annotated.format import Annotation, Segment, write_mask


def render_folder(folder: Path, count: int, size: int = 256, seed: int = 0) -> None:
    """Write ``count`` annotated images of one to three toys; every visible toy is a segment."""
    rng = random.Random(f"folder:{seed}")
    for number in range(count):
        scene = random_scene(rng)
        rendered = render([scene], size)
        stem = folder / f"{number:09d}"[:5] / f"{number:09d}"
        stem.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(to_bytes(rendered.images)[0].movedim(0, -1).numpy())
        masks = rendered.masks[0].numpy()  # (S, H, W) bool, which do not overlap
        ids = (masks * np.arange(1, len(masks) + 1)[:, None, None]).sum(0)
        image.save(stem.with_suffix(".jpg"), quality=95)
        stem.with_suffix(".png").write_bytes(write_mask(ids))
        stem.with_suffix(".json").write_text(_annotate(scene, ids, stem.name).to_json(), encoding="utf-8")


def _annotate(scene: Scene, ids: np.ndarray, name: str) -> Annotation:
    caption, words = find_words(scene.caption.text, scene.caption.names)
    segments = []
    for word, placed in zip(words, scene.toys, strict=True):
        number = word.subject + 1
        rows, columns = np.nonzero(ids == number)
        if len(rows):
            box = (float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1))
            identity = f"{placed.toy.class_name}-{placed.toy.seed}"
            segments.append(Segment(number, word.text, word.start, word.end, box, identity))
    return Annotation(name, caption, tuple(segments))
