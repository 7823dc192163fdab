"""The annotators, as tiny models: what they find is what their own processors find."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers.models.grounding_dino.processing_grounding_dino import GroundingDinoProcessor
from transformers.models.sam.processing_sam import SamProcessor

from mmdiff_core.errors import ModelError
from mmdiff_core.training.annotate import annotators
from tests.helpers import tiny, tiny_annotators


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("annotators")
    makers = (tiny_annotators.blip, tiny_annotators.grounding_dino, tiny_annotators.sam)
    return {make.__name__: make(root / make.__name__) for make in makers}


def test_blip_writes_words(saved: dict[str, Path]) -> None:
    caption = annotators.BlipCaptioner(saved["blip"])
    words = caption(tiny.photo(1)).split()
    assert words
    assert set(words) <= set(tiny_annotators.WORDS)
    assert caption(tiny.photo(1)).split() == words


def test_grounding_dino_finds_what_its_own_processor_finds(saved: dict[str, Path]) -> None:
    image, phrases, threshold = tiny.photo(1, (60, 40)), ["a black cat", "dog"], 0.05
    detect = annotators.GroundingDino(saved["grounding_dino"], threshold=threshold)
    found = detect(image, phrases)
    processor = GroundingDinoProcessor(detect.images, detect.tokenizer)
    inputs = processor(images=image, text="a black cat. dog.", return_tensors="pt")
    with torch.no_grad():
        output = detect.model(**inputs)
    (theirs,) = processor.post_process_grounded_object_detection(
        output, inputs.input_ids, threshold=threshold, text_threshold=threshold, target_sizes=[(40, 60)]
    )
    assert 0 < len(found) <= len(theirs["scores"])
    boxes, scores = theirs["boxes"], theirs["scores"].tolist()
    for thing in found:
        away = (boxes - torch.tensor(thing.box)).abs().amax(1)
        nearest = int(away.argmin())
        assert away[nearest] < 1e-3
        assert thing.score <= scores[nearest] + 1e-5  # theirs counts the tokens between the phrases, too
        assert any(word in theirs["text_labels"][nearest] for word in phrases[thing.phrase].split())


def test_a_phrase_scores_by_its_best_token() -> None:
    text, spans = annotators.join_phrases(["A cat", "the dog"])
    assert text == "a cat. the dog."
    assert [text[start:end] for start, end in spans] == ["a cat", "the dog"]
    offsets = [(0, 0), (0, 1), (2, 5), (5, 6), (7, 10), (11, 14), (14, 15), (0, 0)]
    scores = torch.tensor([[0.9, 0.1, 0.2, 0.9, 0.3, 0.1, 0.9, 0.9]])
    assert [annotators._phrase_scores(scores, offsets, span).item() for span in spans] == pytest.approx([0.2, 0.3])


def test_sam_outlines_what_its_own_processor_outlines(saved: dict[str, Path]) -> None:
    image, boxes = tiny.photo(1, (60, 40)), [(1.0, 2.0, 30.0, 30.0), (30.0, 0.0, 59.0, 39.0)]
    segment = annotators.Sam(saved["sam"])
    masks = segment(image, boxes)
    processor = SamProcessor(segment.images)
    inputs = processor(images=image, input_boxes=[[list(box) for box in boxes]], return_tensors="pt")
    seen = {name: inputs[name].float() for name in ("pixel_values", "input_boxes")}
    with torch.no_grad():
        output = segment.model(**seen, multimask_output=False)
    sizes = inputs["original_sizes"], inputs["reshaped_input_sizes"]
    (theirs,) = processor.post_process_masks(output.pred_masks, *sizes)
    assert len(masks) == 2
    assert not np.array_equal(masks[0], masks[1])
    for mask, other in zip(masks, theirs, strict=True):
        assert mask.shape == (40, 60)
        assert np.array_equal(mask, other[0].numpy())


def test_a_missing_model_says_how_to_get_it() -> None:
    with pytest.raises(ModelError, match="models --download Salesforce/blip"):
        annotators.BlipCaptioner()


def test_a_model_of_another_kind_is_named(saved: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match="grounding_dino"):
        annotators.BlipCaptioner(saved["grounding_dino"])
