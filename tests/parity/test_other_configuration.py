"""Whole runs with other weights and another configuration than the recorded one, where only the semantics are known.

The official pipeline written anew (``tests/parity/official.py``) and ours are given the same random checkpoint through
the official files: other widths, ranks, depths, heads, patch and picture sizes, another autoencoder.
"""

from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline, UNet2DConditionModel
from torch import Tensor
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from mmdiff_core.backbones.processors import cross_attention_layers, self_attention_layers
from mmdiff_core.nn.adapter import AdapterConfig, MMDiffAdapter, TextTower
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.weights.official_release import official_names, official_order
from tests.parity.official import Official
from tests.parity.recordings import assert_same, write_release
from tests.parity.test_pipeline import SCHEDULERS, Material, _official, _ours, _request
from tests.parity.test_tokenisation import TOKENIZERS

TOLERANCE = 5e-5  # max|a - b| / max|ref| of the latents; what is asked for is 1e-4
CLIP_SIDE = 48
RANK, TEXT_RANK = 6, 3


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """Another base model, another checkpoint and another CLIP, as folders, and the official pipeline on them."""
    folder = tmp_path_factory.mktemp("other")
    torch.manual_seed(11)
    pipe, clip = _base(), _clip()
    checkpoint, order = _checkpoint(pipe, clip)
    pipe.save_pretrained(folder / "base")
    clip.save_pretrained(folder / "clip")
    (folder / "release").mkdir()
    write_release(folder / "release", checkpoint)
    return Material(folder / "base", folder / "release", folder / "clip", Official(pipe, clip, checkpoint, order))


@pytest.fixture(scope="module")
def personalizer(material: Material) -> Personalizer:
    return Personalizer.load(material.base, material.official, material.clip)


def _base() -> StableDiffusionXLPipeline:
    text = {"vocab_size": 646, "num_hidden_layers": 4, "bos_token_id": 644, "pad_token_id": 645, "eos_token_id": 645}
    one = CLIPTextConfig(**text, hidden_size=128, intermediate_size=160, num_attention_heads=2, projection_dim=64)
    two = CLIPTextConfig(
        **text, hidden_size=384, intermediate_size=256, num_attention_heads=6, projection_dim=72, hidden_act="gelu"
    )
    unet = UNet2DConditionModel(
        sample_size=20,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(24, 32, 64),
        layers_per_block=2,
        transformer_layers_per_block=(1, 1, 3),
        attention_head_dim=(3, 4, 4),
        norm_num_groups=8,
        cross_attention_dim=128 + 384,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=16,
        projection_class_embeddings_input_dim=72 + 6 * 16,
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        scaling_factor=0.13025,
        force_upcast=True,
    )
    return StableDiffusionXLPipeline(
        vae=vae.eval(),
        text_encoder=CLIPTextModel(one).eval(),
        text_encoder_2=CLIPTextModelWithProjection(two).eval(),
        tokenizer=TOKENIZERS["ids_tokenizer"],
        tokenizer_2=TOKENIZERS["ids_tokenizer_2"],
        unet=unet.eval(),
        scheduler=SCHEDULERS["ddim"],
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )


def _clip() -> CLIPVisionModelWithProjection:
    config = CLIPVisionConfig(
        hidden_size=48,
        intermediate_size=96,
        projection_dim=40,
        num_hidden_layers=4,
        num_attention_heads=3,
        image_size=CLIP_SIDE,
        patch_size=16,
    )
    return CLIPVisionModelWithProjection(config).eval()


def _checkpoint(
    pipe: StableDiffusionXLPipeline, clip: CLIPVisionModelWithProjection
) -> tuple[dict[str, Tensor], list[str]]:
    """Random tensors under the official names, and the official order of the attention layers."""
    cross, own = cross_attention_layers(pipe.unet), self_attention_layers(pipe.unet)
    config = AdapterConfig(
        cross_attention=cross,
        self_attention=own,
        text_towers=(TextTower(128, 4, TEXT_RANK), TextTower(384, 4, TEXT_RANK, lora_active=False)),
        cls_width=clip.config.projection_dim,
        patch_width=clip.config.hidden_size,
        rank=RANK,
        self_attention_rank=RANK,
        null_token=False,
        source="face",
        patches_with_cls=True,
    )
    adapter = MMDiffAdapter(config)
    for name, parameter in adapter.named_parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
        elif "norm" not in name:
            torch.nn.init.normal_(parameter, std=0.1)
    state = adapter.state_dict()
    checkpoint = {official: state[ours].detach().clone() for ours, official in official_names(adapter).items()}
    words = _clip()  # the release's own copy of the image encoder has other weights than the original
    checkpoint |= {f"custom/image_encoder/{name}": x for name, x in words.state_dict().items()}
    return checkpoint, [f"{layer.path}.processor" for layer in official_order((*cross, *own))]


@pytest.mark.parametrize("scheduler", ["euler", "ddim"])
@pytest.mark.parametrize("guidance", [1.0, 5.0])
@pytest.mark.parametrize("start", [0, 2])
def test_two_subjects_in_a_picture_that_is_not_square(
    personalizer: Personalizer, material: Material, scheduler: str, guidance: float, start: int
) -> None:
    """Latents of 18 x 11 pixels, which the UNet halves to odd sizes."""
    _compare(personalizer, material, scheduler, (1, 1), guidance, start, (36, 22))


@pytest.mark.parametrize(
    ("scheduler", "references", "guidance", "start", "size"),
    [
        ("euler", (1,), 5.0, 2, (40, 24)),
        ("ddim", (1,), 1.0, 0, (24, 56)),
        ("euler", (1, 1, 1), 1.0, 0, (40, 40)),
        ("ddim", (1, 1, 1), 5.0, 2, (44, 28)),
        ("euler", (3,), 1.0, 2, (30, 40)),
        ("ddim", (2,), 5.0, 0, (40, 24)),
    ],
)
def test_other_numbers_of_triggers_and_photos(
    personalizer: Personalizer, material: Material, scheduler: str, references: tuple[int, ...], guidance: float,
    start: int, size: tuple[int, int],
) -> None:  # fmt: skip
    _compare(personalizer, material, scheduler, references, guidance, start, size)


def _compare(
    personalizer: Personalizer, material: Material, scheduler: str, references: tuple[int, ...], guidance: float,
    start: int, size: tuple[int, int],
) -> None:  # fmt: skip
    request = _request(references, guidance, start, size, CLIP_SIDE)
    assert_same(_ours(personalizer, scheduler, request), _official(material, scheduler, request), TOLERANCE)
