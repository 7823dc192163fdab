"""Whole runs with an official checkpoint, loaded as a person would, against the official pipeline written anew."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers import (
    DDIMScheduler,
    EulerDiscreteScheduler,
    SchedulerMixin,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from mmdiff_core.backbones.loading import apply_second_text_lora
from mmdiff_core.cli.main import main
from mmdiff_core.encoders.photo import as_image
from mmdiff_core.errors import CheckpointError, PhotoError
from mmdiff_core.generation.sampling import sample
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.types import Face, GenerateRequest, Subject
from mmdiff_core.weights.adapter_file import load_adapter_file
from tests.helpers import tiny
from tests.helpers.faces import Squares, group
from tests.parity.official import MEAN, STD, Official, Run
from tests.parity.recordings import assert_same, below, configs, difference, tensors, write_release
from tests.parity.test_text_encoder import base_encoders
from tests.parity.test_tokenisation import TOKENIZERS

NOISE = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SPACING = {"timestep_spacing": "leading", "steps_offset": 1}
SCHEDULERS: dict[str, SchedulerMixin] = {
    "euler": EulerDiscreteScheduler(**NOISE, **SPACING),
    "ddim": DDIMScheduler(**NOISE, **SPACING, clip_sample=False, set_alpha_to_one=False),
}
PROMPTS = {
    1: "a man<|subj|> in front of the white house",
    2: "a man<|subj|> and a woman<|subj|> on the beach",
    3: "a man<|subj|> and a woman<|subj|> on the beach<|subj|>",
}
# max|a - b| / max|ref| of the latents; what is asked for is 1e-4.
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Material:
    """The recorded base model and checkpoint as folders, and the official pipeline on them."""

    base: Path
    official: Path
    clip: Path
    reference: Official


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = tmp_path_factory.mktemp("official")
    pipe = base_pipeline()
    pipe.save_pretrained(folder / "base")
    clip = CLIPVisionModelWithProjection(CLIPVisionConfig(**configs()["vision_config_full"])).eval()
    clip.load_state_dict(below(tensors("base_A"), "clip/"))
    clip.save_pretrained(folder / "clip")
    (folder / "release").mkdir()
    write_release(folder / "release")
    reference = Official(pipe, clip, tensors("ckpt_A"), configs()["attn_processor_order"])
    return Material(folder / "base", folder / "release", folder / "clip", reference)


def base_pipeline() -> StableDiffusionXLPipeline:
    unet = UNet2DConditionModel.from_config(configs()["unet"]).eval()
    unet.load_state_dict(below(tensors("base_A"), "unet/"))
    one, two = base_encoders()
    return StableDiffusionXLPipeline(
        vae=tiny.stable_diffusion_xl().vae,
        text_encoder=one,
        text_encoder_2=two,
        tokenizer=TOKENIZERS["ids_tokenizer"],
        tokenizer_2=TOKENIZERS["ids_tokenizer_2"],
        unet=unet,
        scheduler=SCHEDULERS["euler"],
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )


@pytest.fixture(scope="module")
def personalizer(material: Material) -> Personalizer:
    return Personalizer.load(material.base, material.official, material.clip)


def _subjects(references: tuple[int, ...], side: int = 32) -> tuple[Subject, ...]:
    """Subjects with a photo of the image encoder's size each, and so many faces each."""
    generator = torch.Generator().manual_seed(len(references) + sum(references))
    faces = iter(torch.nn.functional.normalize(torch.randn(9, 512, generator=generator), dim=-1).tolist())
    seeds = iter(range(90))
    return tuple(
        Subject(
            f"subject {n}",
            (tiny.photo(next(seeds), (side, side)),),
            scale=0.8,
            faces=tuple(Face(tuple(next(faces)), tiny.photo(next(seeds), (side, side))) for _ in range(count)),
        )
        for n, count in enumerate(references)
    )


def _pixels(pictures: list[Image.Image]) -> Tensor:
    return torch.stack([torch.tensor(np.asarray(p)).permute(2, 0, 1) / 255 for p in pictures])


def _noise(request: GenerateRequest) -> Tensor:
    generator = torch.Generator().manual_seed(42)
    return torch.randn(1, 4, request.height // 2, request.width // 2, generator=generator)


def _ours(personalizer: Personalizer, scheduler: str, request: GenerateRequest) -> Tensor:
    """Our latents for a request."""
    chosen = Personalizer(replace(personalizer.backbone, scheduler=SCHEDULERS[scheduler]), personalizer.adapter)
    conditions = chosen.conditions(request)
    numbers = conditions.plan.numbers
    *_, last = sample(chosen.backbone, conditions.plain, conditions.personal, numbers, latents=_noise(request))
    return last.latents


def _official(material: Material, scheduler: str, request: GenerateRequest) -> Tensor:
    """The official pipeline's."""
    material.reference.pipe.scheduler = SCHEDULERS[scheduler]
    return material.reference(_run(request))


def _run(request: GenerateRequest) -> Run:
    """What the official pipeline is called with for a request."""
    faces = [face for subject in request.subjects for face in subject.faces]
    return Run(
        prompt=request.prompt,
        objects=_pixels([subject.photos[0] for subject in request.subjects]),
        faces=_pixels([face.crop for face in faces]),
        face_embeds=torch.tensor([face.embedding for face in faces]),
        latents=_noise(request),
        size=(request.height, request.width),
        steps=request.steps,
        guidance=request.guidance,
        start_merge_step=request.start_step,
        fuse_scale=0.8,
        columns=len(request.subjects),
    )


def _request(
    references: tuple[int, ...], guidance: float, start: int, size: tuple[int, int], side: int = 32
) -> GenerateRequest:
    return GenerateRequest(
        PROMPTS[len(references)], _subjects(references, side), steps=3, guidance=guidance, start_step=start,
        width=size[0], height=size[1],
    )  # fmt: skip


@pytest.mark.parametrize("scheduler", ["euler", "ddim"])
@pytest.mark.parametrize(
    ("references", "guidance", "start", "size"),
    [
        ((1,), 5.0, 0, (32, 32)),
        ((1,), 1.0, 2, (40, 24)),
        ((1, 1), 5.0, 2, (40, 24)),
        ((1, 1, 1), 5.0, 0, (24, 40)),
        ((1, 1, 1), 1.0, 2, (32, 32)),
        ((3,), 5.0, 2, (32, 32)),
        ((3,), 1.0, 0, (48, 32)),
    ],
)
def test_latents_are_the_official_ones(
    personalizer: Personalizer, material: Material, scheduler: str, references: tuple[int, ...], guidance: float,
    start: int, size: tuple[int, int],
) -> None:  # fmt: skip
    request = _request(references, guidance, start, size)
    assert_same(_ours(personalizer, scheduler, request), _official(material, scheduler, request), TOLERANCE)


def test_a_second_call_carries_nothing_of_the_first(personalizer: Personalizer, material: Material) -> None:
    """The official code's "pure" prompt keeps the subject of the call before; what counts is the fresh result."""
    request = _request((1, 1), 5.0, 2, (32, 32))
    first = _ours(personalizer, "euler", request)
    _ours(personalizer, "euler", _request((3,), 5.0, 2, (32, 32)))
    assert torch.equal(first, _ours(personalizer, "euler", request))
    assert_same(first, _official(material, "euler", request), TOLERANCE)


def test_the_comparison_would_notice(personalizer: Personalizer, material: Material) -> None:
    """What a wrong reading would move: the second text LoRA applied, another strength, another face."""
    request = _request((1,), 5.0, 0, (32, 32))
    official = _official(material, "euler", request)
    lora = copy.deepcopy(personalizer.adapter)
    apply_second_text_lora(lora)
    asked = Personalizer(personalizer.backbone, lora)
    assert difference(_ours(asked, "euler", request), official) > 1e-2
    subject = request.subjects[0]
    weaker = replace(request, subjects=(replace(subject, scale=0.7),))
    other = replace(request, subjects=(replace(subject, faces=_subjects((2,))[0].faces[:1]),))
    for changed in (weaker, other):
        assert difference(_ours(personalizer, "euler", changed), official) > 1e-3


def test_recorded_floats_go_in_as_they_are(personalizer: Personalizer, material: Material) -> None:
    """The official code is called with floats: photos of any size, and faces that are no pictures at all."""
    drawn = torch.Generator().manual_seed(7)
    photos, faces = torch.rand(2, 3, 50, 40, generator=drawn), torch.randn(2, 3, 32, 32, generator=drawn) * STD + MEAN
    request = _request((1, 1), 5.0, 2, (40, 24))
    subjects = tuple(
        replace(subject, photos=(photo,), faces=(replace(subject.faces[0], crop=face),))
        for subject, photo, face in zip(request.subjects, photos, faces, strict=True)
    )
    run = replace(_run(request), objects=F.interpolate(photos, (32, 32), mode="bilinear", antialias=True), faces=faces)
    material.reference.pipe.scheduler = SCHEDULERS["euler"]
    official = material.reference(run)
    assert_same(_ours(personalizer, "euler", replace(request, subjects=subjects)), official, TOLERANCE)
    pictures = tuple(replace(subject, photos=tuple(map(as_image, subject.photos))) for subject in subjects)
    assert difference(_ours(personalizer, "euler", replace(request, subjects=pictures)), official) > 1e-4


@pytest.mark.parametrize("named", list(SCHEDULERS))
def test_the_samplers_name_the_official_schedulers(personalizer: Personalizer, named: str) -> None:
    """Whichever scheduler the base model brings."""
    request = _request((1,), 5.0, 0, (32, 32))
    expected = _ours(personalizer, named, request)
    for own in SCHEDULERS:
        assert torch.equal(_ours(personalizer, own, replace(request, scheduler=named)), expected)


def test_no_negative_prompt_at_all(personalizer: Personalizer) -> None:
    """As the official pipeline takes it: None is the default there."""
    request = replace(_request((1,), 5.0, 0, (32, 32)), negative_prompt=None)
    assert personalizer.plan(request).request.negative_prompt == ""
    assert torch.equal(
        _ours(personalizer, "euler", request), _ours(personalizer, "euler", replace(request, negative_prompt=""))
    )


def test_the_recorded_photos_go_to_their_own_towers(personalizer: Personalizer) -> None:
    """The checkpoint's tower sees the photo for the word, the original one the face."""
    recorded = tensors("image_encoder")
    encoder = personalizer.backbone.image_encoder
    for case in ("n2_native32", "n1_50x40_interpolated", "n3_20x20_upsampled"):
        words = encoder.encode_words(recorded[f"object/{case}/inputs/object_pixel_values"][0])
        assert_same(words, recorded[f"object/{case}/outputs/image_embeds"][0])
    faces = recorded["face_patches/n2/inputs/face_pixel_values"] * STD + MEAN
    assert_same(encoder.encode_patches(faces), recorded["face_patches/n2/outputs/clip_face_embeds"])


# ---------------------------------------------------------------- one file


def test_convert_makes_one_file_that_does_the_same(
    personalizer: Personalizer, material: Material, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "adapter.safetensors"
    assert main(["convert", str(material.official), "--out", str(out), "--base", str(material.base)]) == 0
    told = capsys.readouterr().out
    assert f"all {len(tensors('ckpt_A'))} tensors converted" in told
    assert "text_encoder_adapter/text_encoder_2: 24 tensors" in told
    assert "kept but not applied" in told
    checkpoint = load_adapter_file(out)
    expected = below(tensors("ckpt_A"), "custom/image_encoder/")
    assert checkpoint.image_encoder.keys() == expected.keys()
    assert all(torch.equal(x, expected[name]) for name, x in checkpoint.image_encoder.items())

    converted = Personalizer.load(material.base, out, material.clip)
    request = _request((1, 1), 5.0, 2, (40, 24))
    assert torch.equal(_ours(converted, "euler", request), _ours(personalizer, "euler", request))
    assert converted.adapter.text_encoder_deltas(1) == {}
    apply_second_text_lora(converted.adapter)
    assert converted.adapter.text_encoder_deltas(1)


def test_convert_with_the_second_text_lora(material: Material, tmp_path: Path) -> None:
    out = tmp_path / "adapter.safetensors"
    flags = ["--base", str(material.base), "--text-encoder-2-lora"]
    assert main(["convert", str(material.official), "--out", str(out), *flags]) == 0
    assert load_adapter_file(out).adapter.text_encoder_deltas(1)


def test_convert_for_the_wrong_base(material: Material, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a base, the layers are those of full-size SDXL, which these tensors do not fit."""
    assert main(["convert", str(material.official), "--out", str(tmp_path / "a.safetensors")]) == 2
    told = capsys.readouterr().err
    assert f'not the one that the official checkpoint "{material.official}" was made for' in told
    assert "give that with --base" in told
    assert main(["convert", str(tmp_path), "--out", str(tmp_path / "a.safetensors")]) == 2
    assert 'unet_adapter_weights.bin" is missing' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_image_encoder_of_another_shape(material: Material, tmp_path: Path) -> None:
    config = CLIPVisionConfig(**{**configs()["vision_config_full"], "num_hidden_layers": 2})
    CLIPVisionModelWithProjection(config).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="the image encoder of the official checkpoint do not fit"):
        Personalizer.load(material.base, material.official, tmp_path)


def test_a_person_without_a_face(personalizer: Personalizer) -> None:
    request = _request((1,), 5.0, 0, (32, 32))
    subject = request.subjects[0]
    finder = Personalizer(personalizer.backbone, personalizer.adapter, Squares())
    with pytest.raises(PhotoError, match='Photo 1 of "subject 0" shows no face'):
        finder.plan(replace(request, subjects=(replace(subject, photos=(group(),), faces=()),)))
    short = (Face((1.0, 2.0), tiny.photo(1)),)
    with pytest.raises(PhotoError, match="is not 512 finite numbers"):
        personalizer.plan(replace(request, subjects=(replace(subject, faces=short),)))
