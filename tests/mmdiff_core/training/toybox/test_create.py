"""A new model: a stock folder in the recipe's sizes, with a vocabulary that knows the world."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline

from mmdiff_core.backbones.processors import cross_attention_layers
from mmdiff_core.toyworld.bodies.toys import ACCESSORIES
from mmdiff_core.toyworld.render.colours import COLOURS
from mmdiff_core.toyworld.scenes.captions import BACKGROUND_WORDS, CLASS_WORDS, STYLE_WORDS
from mmdiff_core.training.toybox import create
from mmdiff_core.training.toybox.create import captions, create_fresh_adapter, create_pipeline, create_tokenizer
from mmdiff_core.training.toybox.recipes import RECIPES

RECIPE = RECIPES["rehearsal"]


@pytest.fixture(scope="module")
def pipeline() -> StableDiffusionPipeline:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(create, "CAPTIONS_FOR_VOCABULARY", 100)
        return create_pipeline(RECIPE)


def test_the_sizes_are_those_of_the_recipe(pipeline: StableDiffusionPipeline) -> None:
    shapes = RECIPE.shapes
    assert pipeline.unet.config.block_out_channels == shapes.unet_channels
    assert pipeline.unet.config.sample_size == RECIPE.size // 2 ** (len(shapes.vae_channels) - 1)
    assert pipeline.vae.config.latent_channels == pipeline.unet.config.in_channels == shapes.latent_channels
    assert pipeline.text_encoder.config.hidden_size == pipeline.unet.config.cross_attention_dim == shapes.text_width
    assert pipeline.image_encoder.config.image_size == RECIPE.reference
    assert pipeline.tokenizer.model_max_length == shapes.text_tokens
    assert pipeline.scheduler.config.prediction_type == "flow_prediction"


def test_a_stock_pipeline_opens_the_folder_and_generates(pipeline: StableDiffusionPipeline, tmp_path: Path) -> None:
    pipeline.save_pretrained(tmp_path)
    stock = StableDiffusionPipeline.from_pretrained(tmp_path, local_files_only=True)
    stock.set_progress_bar_config(disable=True)
    assert stock("a cat", num_inference_steps=1).images[0].size == (RECIPE.size, RECIPE.size)


def test_the_same_recipe_gives_the_same_networks(
    pipeline: StableDiffusionPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(create, "CAPTIONS_FOR_VOCABULARY", 100)
    again = create_pipeline(RECIPE)
    assert again.tokenizer.get_vocab() == pipeline.tokenizer.get_vocab()
    for one, other in zip(again.unet.parameters(), pipeline.unet.parameters(), strict=True):
        assert torch.equal(one, other)


def test_an_adapter_fits_the_unet(pipeline: StableDiffusionPipeline) -> None:
    adapter = create_fresh_adapter(RECIPE, pipeline.unet)
    assert adapter.config.cross_attention == cross_attention_layers(pipeline.unet)
    assert adapter.config.rank == RECIPE.shapes.rank
    assert adapter.config.cls_width == pipeline.image_encoder.config.projection_dim


def test_the_tokenizer_of_a_full_model_has_every_word_of_the_world() -> None:
    tokenizer = create_tokenizer(RECIPES["gpu"].shapes, captions(0, 1000))
    classes = [word for words in CLASS_WORDS.values() for word in words]
    styles = [phrase for pair in STYLE_WORDS.values() for phrases in pair for phrase in phrases]
    backgrounds = [phrase for phrases in BACKGROUND_WORDS.values() for phrase in phrases]
    words = {word for text in (*classes, *styles, *backgrounds, *COLOURS, *ACCESSORIES) for word in text.split()}
    assert not [word for word in words if word.isalpha() and len(tokenizer.tokenize(word)) > 1]
