"""A new toybox model: random networks of stock classes in a stock folder, with its own vocabulary.

Every stage of training reads this folder and writes it back, so that it opens at any time with plain
``StableDiffusionPipeline.from_pretrained``.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable

import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.resnet import ResnetBlock2D
from tokenizers import Regex as TokenRegex
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import (
    CLIPImageProcessorPil,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from mmdiff_core.backbones.processors import cross_attention_layers
from mmdiff_core.nn.adapter import AdapterConfig, MMDiffAdapter, TextTower
from mmdiff_core.toyworld.scenes.random_scenes import random_scene
from mmdiff_core.toyworld.scenes.vocabulary import WHOLE_WORLD
from mmdiff_core.training.toybox.recipes import Recipe, Shapes

CAPTIONS_FOR_VOCABULARY = 20_000
START, END = "<|startoftext|>", "<|endoftext|>"


def create_pipeline(recipe: Recipe) -> StableDiffusionPipeline:
    """Return random networks in the recipe's sizes, the same for the same recipe."""
    torch.manual_seed(recipe.seed)
    shapes = recipe.shapes
    tokenizer = create_tokenizer(shapes, captions(recipe.seed, CAPTIONS_FOR_VOCABULARY))
    return StableDiffusionPipeline(
        vae=create_autoencoder(recipe),
        text_encoder=create_text_encoder(shapes, tokenizer),
        tokenizer=tokenizer,
        unet=create_unet(recipe),
        scheduler=create_scheduler(),
        safety_checker=None,
        feature_extractor=CLIPImageProcessorPil(
            size={"shortest_edge": recipe.reference}, crop_size={"height": recipe.reference, "width": recipe.reference}
        ),
        image_encoder=create_image_encoder(recipe),
        requires_safety_checker=False,
    )


def captions(seed: int, count: int) -> Iterable[str]:
    """Yield captions of the whole world, plain and detailed, so that any recipe may start from any model."""
    rng = random.Random(seed)
    for _ in range(count):
        caption = random_scene(rng, vocabulary=WHOLE_WORLD).caption
        yield caption.text
        yield caption.detailed


def create_tokenizer(shapes: Shapes, texts: Iterable[str]) -> CLIPTokenizer:
    """Learn a byte-pair vocabulary like CLIP's from captions; it splits unknown words into letters."""
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer = normalizers.Lowercase()
    words = TokenRegex(r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    texts = list(texts)
    split = (learner.pre_tokenizer.pre_tokenize_str(learner.normalizer.normalize_str(text)) for text in texts)
    ends = sorted({word[-1] for words in split for word, _ in words})
    trainer = trainers.BpeTrainer(
        vocab_size=shapes.vocabulary,
        initial_alphabet=alphabet,
        special_tokens=[f"{letter}</w>" for letter in ends],  # else numbered at random, which decides between equals
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    # CLIP's order: letters, letters that end a word, merges, then the two special tokens.
    tokens = [*alphabet, *(f"{letter}</w>" for letter in alphabet), *("".join(pair) for pair in merges), START, END]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=shapes.text_tokens)


def create_autoencoder(recipe: Recipe) -> AutoencoderKL:
    shapes = recipe.shapes
    levels = len(shapes.vae_channels)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=shapes.vae_channels,
        layers_per_block=shapes.vae_layers,
        latent_channels=shapes.latent_channels,
        norm_num_groups=4,
        sample_size=recipe.size,
        scaling_factor=1.0,  # the end of the autoencoder's stages folds the scale into the weights
        mid_block_add_attention=False,
    )
    carry_colours(vae)
    return vae


@torch.no_grad()
def carry_colours(vae: AutoencoderKL) -> None:
    """Initialise an autoencoder so that colours flow straight through it.

    Every convolution keeps the variance of its input, residual branches begin at zero, and the layers that change the
    resolution begin as the mean or the smooth copy of each channel. A short training gains 4 dB by it.
    """
    for layer in vae.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=layer.weight[0].numel() ** -0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    for block in vae.modules():
        if isinstance(block, ResnetBlock2D):
            nn.init.zeros_(block.conv2.weight)
            if block.conv_shortcut is not None:
                nn.init.orthogonal_(block.conv_shortcut.weight)
    mean = torch.zeros(3, 3)
    mean[:2, :2] = 0.25  # diffusers pads on the right and below, so that these see one pixel each
    smooth = torch.tensor([0.25, 0.5, 0.25])
    for block in vae.encoder.down_blocks:
        for layer in block.downsamplers or ():
            _carry_channels(layer.conv.weight, 0.5, mean)
    for block in vae.decoder.up_blocks:
        for layer in block.upsamplers or ():
            _carry_channels(layer.conv.weight, 0.3, torch.outer(smooth, smooth))


def _carry_channels(weight: Tensor, kept: float, kernel: Tensor) -> None:
    """Shrink a square convolution's weights to a share, and add a kernel (3, 3) from each channel to itself."""
    weight *= kept
    weight.diagonal().add_(kernel[..., None])  # (3, 3, channels)


def create_unet(recipe: Recipe) -> UNet2DConditionModel:
    shapes = recipe.shapes
    down = ["CrossAttnDownBlock2D" if attends else "DownBlock2D" for attends in shapes.unet_attention]
    up = ["CrossAttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(shapes.unet_attention)]
    return UNet2DConditionModel(
        sample_size=recipe.size // 2 ** (len(shapes.vae_channels) - 1),
        in_channels=shapes.latent_channels,
        out_channels=shapes.latent_channels,
        down_block_types=tuple(down),
        up_block_types=tuple(up),
        block_out_channels=shapes.unet_channels,
        layers_per_block=shapes.unet_layers,
        cross_attention_dim=shapes.text_width,
        # diffusers calls the number of heads "attention_head_dim"
        attention_head_dim=tuple(max(1, channels // shapes.head_width) for channels in shapes.unet_channels),
        norm_num_groups=shapes.norm_groups,
    )


def create_text_encoder(shapes: Shapes, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=shapes.text_width,
            intermediate_size=4 * shapes.text_width,
            projection_dim=shapes.projection,
            num_hidden_layers=shapes.text_layers,
            num_attention_heads=max(1, shapes.text_width // 32),
            max_position_embeddings=shapes.text_tokens,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def create_image_encoder(recipe: Recipe) -> CLIPVisionModelWithProjection:
    shapes = recipe.shapes
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=shapes.image_width,
            intermediate_size=4 * shapes.image_width,
            projection_dim=shapes.projection,
            num_hidden_layers=shapes.image_layers,
            num_attention_heads=max(1, shapes.image_width // 32),
            image_size=recipe.reference,
            patch_size=shapes.patch,
        )
    )


def create_fresh_adapter(recipe: Recipe, unet: nn.Module) -> MMDiffAdapter:
    """Return a fresh adapter in the recipe's sizes."""
    shapes = recipe.shapes
    return MMDiffAdapter(
        AdapterConfig(
            cross_attention=cross_attention_layers(unet),
            text_towers=(TextTower(shapes.text_width),),
            cls_width=shapes.projection,
            patch_width=shapes.image_width,
            rank=shapes.rank,
            tokens=shapes.tokens,
            refiner_head_dim=shapes.refiner_head,
            null_token=shapes.null_token,
        )
    )


def create_scheduler() -> DPMSolverMultistepScheduler:
    """Return a stock scheduler for rectified flow that every Stable Diffusion pipeline accepts.

    The shift spends more of the steps on strong noise, where shapes are decided: with it, 20 steps come two to five
    times as close to the image of many steps (``python -m mmdiff_core presets``).
    """
    return DPMSolverMultistepScheduler(
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=2.0,
        final_sigmas_type="zero",
        steps_offset=1,  # unused by a flow; Stable Diffusion pipelines insist on it
    )
