"""Tiny random models in the shape of Stable Diffusion 1.5, SDXL and Toybox: a picture takes a fraction of a second."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    DDIMScheduler,
    DiffusionPipeline,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    SchedulerMixin,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from peft import LoraConfig
from PIL import Image
from tokenizers import pre_tokenizers
from transformers import (
    CLIPImageProcessorPil,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from mmdiff_core.backbones.processors import cross_attention_layers, self_attention_layers
from mmdiff_core.backbones.stable_diffusion import load_stable_diffusion
from mmdiff_core.backbones.stable_diffusion_xl import load_stable_diffusion_xl
from mmdiff_core.backbones.toybox import save_student
from mmdiff_core.nn.adapter import AdapterConfig, MMDiffAdapter, TextTower
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD, save_vocabulary
from mmdiff_core.training.distillation.student import LORA_LAYERS
from mmdiff_core.types import Subject
from mmdiff_core.weights.adapter_file import save_adapter

WORDS = (
    "a",
    "an",
    "the",
    "cat",
    "dog",
    "robot",
    "black",
    "on",
    "in",
    "next",
    "to",
    "and",
    "beach",
    "park",
    "snow",
    "photo",
)
START, END = "<|startoftext|>", "<|endoftext|>"
PROJECTION = 24  # Dv
PATCH_WIDTH = 32  # Dh
IMAGE_SIZE = 32  # of the image encoder


def tokenizer(pad: str = END) -> CLIPTokenizer:
    """CLIP's byte-pair tokenizer with a handful of whole words; all others fall apart into letters."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges: dict[tuple[str, str], None] = {}
    for word in WORDS:
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        while len(pieces) > 1:
            merges[pieces[0], pieces[1]] = None
            pieces = [pieces[0] + pieces[1], *pieces[2:]]
    tokens = [*alphabet, *(f"{letter}</w>" for letter in alphabet), *("".join(pair) for pair in merges), START, END]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocabulary, merges=list(merges), model_max_length=77, pad_token=pad)


def _text_config(width: int) -> CLIPTextConfig:
    end = len(tokenizer()) - 1
    return CLIPTextConfig(
        vocab_size=len(tokenizer()),
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=width,
        num_hidden_layers=3,
        num_attention_heads=2,
        bos_token_id=end - 1,
        eos_token_id=end,
        pad_token_id=end,
    )


def image_encoder() -> CLIPVisionModelWithProjection:
    config = CLIPVisionConfig(
        hidden_size=PATCH_WIDTH,
        intermediate_size=64,
        projection_dim=PROJECTION,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=IMAGE_SIZE,
        patch_size=8,
    )
    return CLIPVisionModelWithProjection(config)


def autoencoder(scaling_factor: float = 0.18215, **changes: object) -> AutoencoderKL:
    """Halves the picture's sides."""
    usual: dict[str, object] = {
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "block_out_channels": (8, 8),
        "norm_num_groups": 4,
        "scaling_factor": scaling_factor,
        "force_upcast": False,
    }
    return AutoencoderKL(**usual | changes)


def tiny_autoencoder() -> AutoencoderTiny:
    """Of the kind of TAESD; halves the picture's sides."""
    sizes = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8)}
    return AutoencoderTiny(**sizes, num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1))


def _unet(context: int, **extra: object) -> UNet2DConditionModel:
    usual: dict[str, object] = {
        "sample_size": 16,
        "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "cross_attention_dim": context,
        "attention_head_dim": 2,
        "norm_num_groups": 8,
    }
    return UNet2DConditionModel(**usual | extra)


def stable_diffusion(
    scheduler: SchedulerMixin | None = None, seed: int = 0, vae: AutoencoderKL | AutoencoderTiny | None = None, **unet
) -> StableDiffusionPipeline:
    """A stock pipeline of 32 x 32 pixels with its own image encoder; ``unet`` are sizes that differ from SD 1.5's."""
    torch.manual_seed(seed)
    return StableDiffusionPipeline(
        vae=vae or autoencoder(0.18215),
        text_encoder=CLIPTextModel(_text_config(32)),
        tokenizer=tokenizer(),
        unet=_unet(32, **unet),
        scheduler=scheduler or DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=CLIPImageProcessorPil(size=IMAGE_SIZE, crop_size=IMAGE_SIZE),
        image_encoder=image_encoder(),
        requires_safety_checker=False,
    )


def stable_diffusion_2(seed: int = 0) -> StableDiffusionPipeline:
    """A stock pipeline as Stable Diffusion 2.x has it: linear projections, heads by width, v-prediction."""
    scheduler = DDIMScheduler(
        beta_schedule="scaled_linear", prediction_type="v_prediction", clip_sample=False, steps_offset=1
    )
    sizes = {"use_linear_projection": True, "upcast_attention": True, "attention_head_dim": (2, 4)}
    return stable_diffusion(scheduler, seed, **sizes)


def stable_diffusion_xl(
    scheduler: SchedulerMixin | None = None, seed: int = 0, vae: AutoencoderKL | None = None, **unet
) -> StableDiffusionXLPipeline:
    """A stock pipeline of 32 x 32 pixels with two text encoders; ``unet`` are sizes that differ from SDXL's."""
    torch.manual_seed(seed)
    shape: dict[str, object] = {
        "use_linear_projection": True,
        "transformer_layers_per_block": (1, 2),
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 48 + 6 * 8,
    }
    return StableDiffusionXLPipeline(
        vae=vae or autoencoder(0.13025),
        text_encoder=CLIPTextModel(_text_config(32)),
        text_encoder_2=CLIPTextModelWithProjection(_text_config(48)),
        tokenizer=tokenizer(),
        tokenizer_2=tokenizer(pad="!"),
        unet=_unet(80, **shape | unet),
        scheduler=scheduler or EulerDiscreteScheduler(beta_schedule="scaled_linear"),
        feature_extractor=CLIPImageProcessorPil(size=IMAGE_SIZE, crop_size=IMAGE_SIZE),
        image_encoder=image_encoder(),
        add_watermarker=False,
    )


def adapter_for(pipe: StableDiffusionPipeline | StableDiffusionXLPipeline, seed: int = 0, **changes) -> MMDiffAdapter:
    """A random adapter with every part switched on, strong enough to change any picture."""
    torch.manual_seed(seed)
    encoders = [encoder for encoder in (pipe.text_encoder, getattr(pipe, "text_encoder_2", None)) if encoder]
    towers = [TextTower(encoder.config.hidden_size, encoder.config.num_hidden_layers, rank=2) for encoder in encoders]
    config = {
        "cross_attention": cross_attention_layers(pipe.unet),
        "self_attention": self_attention_layers(pipe.unet),
        "text_towers": tuple(towers),
        "cls_width": PROJECTION,
        "patch_width": PATCH_WIDTH,
        "rank": 4,
        "self_attention_rank": 2,
        "refiner_depth": 1,
        "refiner_head_dim": 16,
    }
    adapter = MMDiffAdapter(AdapterConfig(**(config | changes)))
    for parameter in adapter.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
    return adapter.eval().requires_grad_(False)


def save_model(kind: str, folder: Path, **changes) -> Path:
    """Write a stock folder, ``kind`` "sd" or "sdxl", with ``adapter.safetensors`` beside the stock parts."""
    pipe = stable_diffusion() if kind == "sd" else stable_diffusion_xl()
    pipe.save_pretrained(folder)
    save_adapter(adapter_for(pipe, **changes), folder / "adapter.safetensors", {})
    return folder


def save_toybox(folder: Path) -> Path:
    """Write a tiny stand-in of ``assets/toybox``: a flow model with an adapter, a preview and a vocabulary."""
    pipe = stable_diffusion(
        DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=1.0)
    )
    pipe.save_pretrained(folder)
    save_adapter(adapter_for(pipe), folder / "adapter.safetensors", {})
    preview = {"matrix": [[0.2, 0, 0], [0, 0.2, 0], [0, 0, 0.2], [0.1, 0.1, 0.1]], "bias": [0.5, 0.5, 0.5]}
    (folder / "preview.json").write_text(json.dumps(preview))
    save_vocabulary(FIRST_WORLD, folder)
    return folder


def add_student(folder: Path, steps: int = 2) -> Path:
    """Give a Toybox a student for few steps, whose images differ from the model's."""
    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    config = LoraConfig(r=2, lora_alpha=2, target_modules=LORA_LAYERS, init_lora_weights=False)
    torch.manual_seed(3)
    unet.add_adapter(config, "student")
    save_student(unet, "student", steps, folder)
    return folder


def personalizer(kind: str, folder: Path, with_adapter: bool = True) -> Personalizer:
    """A tiny model of a kind, "sd" or "sdxl", through the project's own loading."""
    save_model(kind, folder)
    load = load_stable_diffusion if kind == "sd" else load_stable_diffusion_xl
    return Personalizer(*load(folder, folder / "adapter.safetensors" if with_adapter else None))


def photo(seed: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    """A photo of coloured blobs."""
    drawn = torch.rand(4, 5, 3, generator=torch.Generator().manual_seed(seed))
    return Image.fromarray((drawn * 255).byte().numpy()).resize(size, Image.Resampling.BICUBIC)


def cat_and_robot() -> tuple[Subject, Subject]:
    """Two subjects, the first with two photos."""
    return Subject("cat", (photo(1), photo(2))), Subject("robot", (photo(3),), scale=0.7)


def open_stock(folder: str) -> StableDiffusionPipeline | StableDiffusionXLPipeline:
    """The folder as diffusers opens it, for comparison."""
    return DiffusionPipeline.from_pretrained(folder, local_files_only=True)
