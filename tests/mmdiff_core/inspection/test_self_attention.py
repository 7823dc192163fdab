"""Where a pixel looks in the image itself, from a stock pipeline and from our own loop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmdiff_core import record_attention
from mmdiff_core.errors import SettingsError
from mmdiff_core.inspection.self_attention import SelfAttention, self_attention_bytes
from mmdiff_core.inspection.token_collector import TokenRecording
from mmdiff_core.types import Components, GenerateRequest
from tests.helpers import tiny
from tests.helpers.stock_kinds import pixels

LAYER = "down_blocks.0.attentions.0.transformer_blocks.0.attn1"
PROMPT = "a cat on the beach"


def _call(**changes: object) -> dict[str, object]:
    usual = {"guidance_scale": 4.0, "num_inference_steps": 3, "width": 40, "height": 24}
    return {"prompt": PROMPT, **usual, "generator": torch.Generator().manual_seed(5), **changes}


def test_one_layer_in_one_step_of_a_stock_pipeline(tmp_path: Path) -> None:
    pipe = tiny.stable_diffusion()
    pipe.set_progress_bar_config(disable=True)
    stock = pixels(pipe, _call())
    seen: list[tuple[torch.Tensor, ...]] = []
    attn = pipe.unet.get_submodule(LAYER)
    with record_attention(pipe, steps=[0], self_attention=(LAYER, 2)) as maps:
        hook = attn.register_forward_hook(lambda _m, args, _o: seen.append(args[0]), prepend=True)
        recorded = pixels(pipe, _call())
        hook.remove()
    assert np.array_equal(recorded, stock)
    assert maps[0].steps == (0,)
    query, key = (
        project(seen[2][1]).unflatten(-1, (attn.heads, -1)).transpose(0, 1) for project in (attn.to_q, attn.to_k)
    )
    expected = (query @ key.mT * attn.scale).softmax(-1).mean(0).detach()  # (L, L)
    found = maps[0].looks_from(0.99, 0.0)
    assert found.shape == (12, 20)
    assert np.allclose(found, expected[19].view(12, 20), atol=1e-3)
    assert found.sum() == pytest.approx(1, abs=1e-2)
    maps[0].to_npz(tmp_path / "maps.npz")
    with np.load(tmp_path / "maps.npz") as written:
        assert written["self_attention"].shape == (240, 240)
        assert written["self_attention_of"].tolist() == [LAYER, "2", "12", "20"]


@pytest.mark.parametrize("with_adapter", [False, True])
def test_our_own_loop_records_the_same(tmp_path: Path, with_adapter: bool) -> None:
    personalizer = tiny.personalizer("sd", tmp_path, with_adapter)
    request = GenerateRequest(PROMPT, seeds=(5,), steps=3, guidance=4.0, width=40, height=24, start_step=0)
    if with_adapter:
        request = GenerateRequest(**{**vars(request), "subjects": tiny.cat_and_robot()[:1], "prompt": PROMPT})
    else:
        request = GenerateRequest(**{**vars(request), "components": Components(vision_text=False, image_branch=False)})
    *_, plain = personalizer.generate(request)
    *_, last = personalizer.inspect(request, TokenRecording(self_attention=(LAYER, 2)))
    assert np.array_equal(np.asarray(last.step.finished.image), np.asarray(plain.finished.image))
    looks = last.tokens.looks_from(0.5, 0.5)
    assert looks.sum() == pytest.approx(1, abs=1e-2)
    if not with_adapter:
        pipe = tiny.stable_diffusion()
        with record_attention(pipe, self_attention=(LAYER, 2)) as maps:
            pipe(**_call())
        assert np.allclose(maps[0].looks_from(0.5, 0.5), looks, atol=1e-3)


def test_it_counts_in_the_budget() -> None:
    pipe = tiny.stable_diffusion()
    pipe.set_progress_bar_config(disable=True)
    needed = self_attention_bytes((12, 20))
    assert needed == 2 * 240 * 240
    with record_attention(pipe, budget=needed + 30_000, self_attention=(LAYER, 2)) as maps:
        pipe(**_call())
    assert maps[0].looks is not None
    assert maps[0].nbytes <= needed + 30_000
    assert maps.dropped
    with (
        record_attention(pipe, budget=needed, self_attention=(LAYER, 0)),
        pytest.raises(SettingsError, match=r"12 x 20 takes 0\.23 MB for 2 image\(s\), which is more than"),
    ):
        pipe(**_call(num_images_per_prompt=2))


def test_what_is_not_there_is_said() -> None:
    pipe = tiny.stable_diffusion()
    pipe.set_progress_bar_config(disable=True)
    with (
        pytest.raises(SettingsError, match='no self-attention layer "attn1"'),
        record_attention(pipe, self_attention=("attn1", 0)),
    ):
        pass
    with record_attention(pipe, self_attention=(LAYER, 3)), pytest.raises(SettingsError, match="no step 3 to record"):
        pipe(**_call())
    with record_attention(pipe) as maps:
        pipe(**_call())
    with pytest.raises(SettingsError, match="No self-attention was recorded"):
        maps[0].looks_from(0, 0)
    looks = SelfAttention("a", 0, (1, 2), torch.eye(2).half())
    assert looks.looks_from(1, 1).tolist() == [[0, 1]]
    with pytest.raises(SettingsError, match=r"\(2, 0\) is outside of the image"):
        looks.looks_from(2, 0)
