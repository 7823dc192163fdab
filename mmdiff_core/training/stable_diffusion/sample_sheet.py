"""Sample sheets of an adapter in training: its references, what it generates from them, and the subjects' maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image

from mmdiff_core.backbones.base import Backbone
from mmdiff_core.encoders.photo import as_image
from mmdiff_core.encoders.prompt import find_words, tokenize
from mmdiff_core.errors import PromptError
from mmdiff_core.maps.heatmap import colour_of, overlay
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.output.image_grid import image_grid, shared_cell, to_image
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.results import GeneratedImage
from mmdiff_core.training.annotated.training_examples import TrainingExample
from mmdiff_core.types import GenerateRequest, MapKind, Subject

EXAMPLES = 6
STEPS = 20
KINDS: tuple[MapKind, ...] = ("text", "image")


def draw_sheet(backbone: Backbone, adapter: MMDiffAdapter, examples: Sequence[TrainingExample]) -> Image.Image:
    """Draw a column per example: its photos, the image, an image generated from its caption, the subjects' maps."""
    precision = backbone.unet.dtype
    with torch.autocast(backbone.device.type, precision, enabled=precision != torch.float32):
        columns = [_column(backbone, adapter, example) for example in examples[:EXAMPLES]]
    return image_grid([list(row) for row in zip(*columns, strict=True)])


def _column(backbone: Backbone, adapter: MMDiffAdapter, example: TrainingExample) -> list[Image.Image]:
    real = to_image(example.image)
    subjects = _subjects(backbone, example)
    request = GenerateRequest(
        prompt=example.caption,
        subjects=subjects,
        seeds=(example.number,),
        steps=STEPS,
        width=real.width,
        height=real.height,
    )
    *_, last = Personalizer(backbone, adapter).generate(request)
    assert last.finished is not None
    photos = [as_image(photo) for subject in subjects for photo in subject.photos]
    maps = [_maps(last.finished, kind, len(subjects)) for kind in KINDS]
    return [shared_cell(images, real.size) for images in (photos, [real], [last.finished.image], *maps)]


def _subjects(backbone: Backbone, example: TrainingExample) -> tuple[Subject, ...]:
    """Return the subjects that the prompt can name."""
    chosen: list[Subject] = []
    for s, (word, photos) in enumerate(zip(example.words, example.photos, strict=True)):
        faces = example.faces[s] if example.faces else ()
        subject = Subject(word.text, tuple(map(to_image, photos)), faces=faces)
        try:
            words = find_words(example.caption, [other.name for other in (*chosen, subject)])
            for tokenizer in backbone.tokenizers:
                tokenize(tokenizer, *words)
        except PromptError:
            continue  # too late in the caption for the text encoder
        chosen.append(subject)
    return tuple(chosen)


def _maps(generated: GeneratedImage, kind: MapKind, subjects: int) -> list[Image.Image]:
    if generated.maps is None:
        return []
    return [overlay(generated.image, generated.maps.at(s, kind), colour_of(s)) for s in range(subjects)]
