"""The shapes of the full-size models, shrunk to what a test can run."""

from __future__ import annotations

from dataclasses import replace

from mmdiff_core.benchmarks import full_size_models

_VAE = {
    "block_out_channels": (8, 8),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "norm_num_groups": 4,
    "latent_channels": 4,
}
_TEXT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
_UNET = {
    "sample_size": 8,
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
    "attention_head_dim": 2,
    "norm_num_groups": 8,
}
_VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "projection_dim": 24,
    "image_size": 32,
    "patch_size": 8,
}
TINY_SHAPES = {
    "sd15": replace(
        full_size_models.MODEL_SHAPES["sd15"],
        unet={**_UNET, "cross_attention_dim": 32},
        vae=_VAE,
        text=({**_TEXT, "projection_dim": 32},),
        vision=_VISION,
    ),
    "sdxl": replace(
        full_size_models.MODEL_SHAPES["sdxl"],
        unet={
            **_UNET,
            "cross_attention_dim": 64,
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 32 + 6 * 8,
        },
        vae=_VAE,
        text=({**_TEXT, "projection_dim": 32}, {**_TEXT, "projection_dim": 32}),
        vision=_VISION,
    ),
}
