"""Word fusion, projectors and SE-Refiner with the recorded weights give the recorded outputs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from mmdiff_core.nn.fusion import SubjectProjector, WordFusion
from mmdiff_core.nn.projectors import TokenProjector
from mmdiff_core.nn.refiner import RefinerAttention, SubjectRefiner
from mmdiff_core.weights.official_release import REFINER, REFINER_LAYER, SUBJECT_PROJECTOR, TOKEN_PROJECTOR, WORD_FUSION
from tests.parity.recordings import assert_same, below, renamed, scalars, tensors


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def _refiner_table(depth: int, prefix: str = "") -> dict[str, str]:
    table = {ours: prefix + official for ours, official in REFINER.items()}
    for index in range(depth):
        table |= {f"layers.{index}.{a}": f"{prefix}layers.{index}.{b}" for a, b in REFINER_LAYER.items()}
    return table


@pytest.mark.parametrize("case", ["n3", "n0"])
def test_word_fusion(case: str) -> None:
    recorded = tensors("modules")
    fusion = WordFusion(24)
    fusion.load_state_dict(renamed(below(recorded, "weights/mlp_fuse/"), WORD_FUSION))
    word, subject = recorded[f"mlp_fuse/{case}/inputs/x"].chunk(2, dim=-1)
    ours = fusion(word, subject)
    if case == "n0":
        assert ours.shape == recorded["mlp_fuse/n0/outputs/out0"].shape == (0, 24)
    else:
        assert_same(ours, recorded[f"mlp_fuse/{case}/outputs/out0"])


def test_subject_projector() -> None:
    recorded = tensors("modules")
    projector = SubjectProjector(28, (24, 40))
    projector.load_state_dict(renamed(below(recorded, "weights/obj_proj/"), SUBJECT_PROJECTOR))
    first, second = projector(recorded["obj_proj/b1n2/inputs/x"])
    assert_same(first, recorded["obj_proj/b1n2/outputs/out0"])
    assert_same(second, recorded["obj_proj/b1n2/outputs/out1"])


@pytest.mark.parametrize(
    ("unit", "case"), [("se_attention_h4", "b2"), ("se_attention_h1", "b2"), ("se_attention_inner", "b1")]
)
def test_refiner_attention(unit: str, case: str) -> None:
    recorded, init = tensors("modules"), scalars("modules")[unit]
    attention = RefinerAttention(init["dim"], init["dim_head"], init["heads"])
    table = {a.removeprefix("attention."): b.removeprefix("0.") for a, b in REFINER_LAYER.items() if "attention" in a}
    attention.load_state_dict(renamed(below(recorded, f"weights/{unit}/"), table))
    inputs = below(recorded, f"{unit}/{case}/inputs/")
    assert_same(attention(inputs["query"], inputs["dense_feats"]), recorded[f"{unit}/{case}/outputs/out0"])


@pytest.mark.parametrize("unit", ["se_refiner", "se_refiner_out40"])
def test_refiner(unit: str) -> None:
    recorded, init = tensors("modules"), scalars("modules")[unit]
    refiner = SubjectRefiner(init["dim"], init["embedding_dim"], init["depth"], init["dim_head"])
    refiner.output, refiner.norm = nn.Linear(init["dim"], init["output_dim"]), nn.LayerNorm(init["output_dim"])
    refiner.load_state_dict(renamed(below(recorded, f"weights/{unit}/"), _refiner_table(init["depth"])))
    inputs = below(recorded, f"{unit}/b2/inputs/")
    details = refiner.details(inputs["query"], inputs["dense_feats"])
    assert_same(details, recorded[f"{unit}/b2/outputs/out0"])
    if init["output_dim"] == init["dim"]:
        assert_same(refiner(inputs["query"], inputs["dense_feats"]), inputs["query"] + details)


@pytest.mark.parametrize("case", ["n3", "uncond_zeros"])
def test_face_head(case: str) -> None:
    recorded, weights = tensors("face_head"), below(tensors("ckpt_A"), "custom/face_embeds_proj/")
    projector, refiner = TokenProjector(512, 4, 256), SubjectRefiner(256, 40)
    projector.load_state_dict(renamed(weights, TOKEN_PROJECTOR))
    refiner.load_state_dict(renamed(weights, _refiner_table(4, "refiner.")))
    faces, patches = (recorded[f"face_head/{case}/inputs/{name}"] for name in ("face_embeds", "clip_embeds"))
    outputs = below(recorded, f"face_head/{case}/outputs/")
    tokens = projector(faces)
    assert_same(refiner(tokens, patches), outputs["out"])
    if case == "n3":
        assert_same(tokens, outputs["after_layer_norm"])
        assert_same(refiner.details(tokens, patches), outputs["refiner_out"])
