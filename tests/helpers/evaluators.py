"""Tiny random evaluators in the shape of CLIP and DINO."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPModel, ViTConfig, ViTModel

from tests.helpers import tiny


def save_evaluators(folder: Path) -> tuple[Path, Path]:
    """Write both as folders; return (clip, dino)."""
    torch.manual_seed(0)
    words = tiny.tokenizer()
    end = words.convert_tokens_to_ids(tiny.END)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**sizes, "vocab_size": len(words), "bos_token_id": end - 1, "eos_token_id": end, "pad_token_id": end}
    vision = {**sizes, "image_size": 32, "patch_size": 8}
    clip = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))
    clip.save_pretrained(folder / "clip")
    words.save_pretrained(folder / "clip")
    ViTModel(ViTConfig(**sizes, image_size=28, patch_size=4), add_pooling_layer=False).save_pretrained(folder / "dino")
    return folder / "clip", folder / "dino"
