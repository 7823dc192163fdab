"""An adapter in any form that people have, from its file to the image: what to load with it, and what it sees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from mmdiff_core.backbones.loading import layers_of
from mmdiff_core.cli.main import main
from mmdiff_core.encoders.photo_cache import PhotoCache
from mmdiff_core.errors import CheckpointError, ModelError
from mmdiff_core.generation.conditioning import Conditions
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.types import Box, Face, GenerateRequest, Subject
from mmdiff_core.weights.any_adapter import open_adapter, read_foreign
from tests.helpers import tiny
from tests.helpers.ip_adapters import Kind, ip_adapter, save_ip_adapter

PROMPT = "a cat next to a robot on the beach"
SUBJECTS = (Subject("cat", (tiny.photo(1),)), Subject("robot", (tiny.photo(2), tiny.photo(3)), scale=0.5))
REQUEST = GenerateRequest(PROMPT, SUBJECTS, steps=2, guidance=4.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SDXL without an image encoder, and IP-Adapters for it laid out as on the hub."""
    root = tmp_path_factory.mktemp("ip")
    pipe = tiny.stable_diffusion_xl()
    for kind in ("plain", "plus", "faceid", "faceid-plus"):
        save_ip_adapter(ip_adapter(kind, pipe), root / "sdxl_models" / f"{kind}.safetensors")
    pipe.image_encoder.save_pretrained(root / "models" / "image_encoder")
    pipe.image_encoder = None
    pipe.save_pretrained(root / "base")
    return root


def _load(folder: Path, kind: Kind) -> Personalizer:
    return Personalizer.load(folder / "base", folder / "sdxl_models" / f"{kind}.safetensors")


def _face(subject: Subject) -> Subject:
    embedding = torch.nn.functional.normalize(torch.randn(512, generator=torch.Generator().manual_seed(4)), dim=0)
    return replace(subject, faces=(Face(tuple(embedding.tolist()), tiny.photo(5, (32, 32))),))


def _last(personalizer: Personalizer, request: GenerateRequest, cache: PhotoCache | None = None):
    *_, last = personalizer.generate(request, cache)
    return last.result[0]


# ---------------------------------------------------------------- what is loaded with it


def test_the_image_encoder_beside_the_file_is_found(folder: Path, tmp_path: Path) -> None:
    assert _load(folder, "plus").backbone.image_encoder.keep_cls
    assert _load(folder, "plus").backbone.image_encoder.fit == "crop"
    alone = tmp_path / "plus.safetensors"
    alone.write_bytes((folder / "sdxl_models" / "plus.safetensors").read_bytes())
    with pytest.raises(ModelError, match=r"image encoder .* is not here"):
        Personalizer.load(folder / "base", alone)
    given = Personalizer.load(folder / "base", alone, folder / "models" / "image_encoder")
    assert given.backbone.image_encoder is not None


def test_an_image_encoder_of_another_width_is_refused(folder: Path) -> None:
    pipe = tiny.stable_diffusion_xl()
    pipe.image_encoder.config.hidden_size = 99
    with pytest.raises(ModelError, match=r"needs an image encoder with a width of 32, but this one has 99"):
        Personalizer.of_pipeline(pipe, folder / "sdxl_models" / "plus.safetensors")


def test_faceid_needs_no_image_encoder(folder: Path) -> None:
    personalizer = _load(folder, "faceid")
    assert personalizer.backbone.image_encoder is None
    request = replace(REQUEST, subjects=tuple(map(_face, SUBJECTS)))
    image = _last(personalizer, request)
    assert {image.maps.at(name, "image").shape for name in ("cat", "robot")} == {(16, 16)}
    with pytest.raises(ModelError, match=r"what finds them in photos is not installed|models that find faces"):
        personalizer.plan(REQUEST)


def test_faceid_plus_sees_the_crop_of_the_face(folder: Path) -> None:
    personalizer = _load(folder, "faceid-plus")
    one, other = (
        personalizer.conditions(replace(REQUEST, subjects=(_with_crop(seed),))).personal.subjects for seed in (6, 7)
    )
    assert (one.tokens - other.tokens)[1].abs().max() > 1e-3
    assert torch.equal(one.tokens[0], other.tokens[0]), "the unconditional half sees a blank one"


def _with_crop(seed: int) -> Subject:
    subject = _face(SUBJECTS[0])
    return replace(subject, faces=(replace(subject.faces[0], crop=tiny.photo(seed, (32, 32))),))


# ---------------------------------------------------------------- what conditions the steps


def _conditions(folder: Path, **changes: object) -> Conditions:
    return _load(folder, "plus").conditions(replace(REQUEST, **changes))


def test_the_unconditional_half_sees_blank_photos(folder: Path) -> None:
    plus = _load(folder, "plus")
    condition = plus.conditions(REQUEST).personal
    blank, photos = condition.subjects.tokens
    assert torch.equal(blank[:5], blank[5:10]), "all alike"
    assert (blank - photos).abs().amax(-1).min() > 1e-3
    assert {layer.image.key.shape[0] for layer in condition.layers.values()} == {2}, "keys for both halves"
    encoder = plus.backbone.image_encoder
    patches = encoder.model(torch.zeros(1, 3, 32, 32), output_hidden_states=True).hidden_states[-2]
    torch.testing.assert_close(blank[:5], plus.adapter.resampler(patches)[0])
    assert condition.scales.tolist() == [[1.0, 0.5]] * 2
    other = plus.conditions(replace(REQUEST, subjects=SUBJECTS[:1])).personal
    assert torch.equal(other.subjects.tokens[0], blank[:5]), "no photo enters it"


def test_each_photo_belongs_to_its_subject(folder: Path) -> None:
    condition = _conditions(folder).personal
    assert condition.subjects.owners.tolist() == [0] * 10 + [1] * 10  # the first has one photo, and padding
    assert condition.owned[1].sum(-1).tolist() == [5, 10]


def test_a_delay_leaves_the_image_term_out_of_both_halves(folder: Path) -> None:
    conditions = _conditions(folder, start_step=1)
    assert all(layer.image is None for layer in conditions.plain.layers.values())


@pytest.mark.parametrize("change", [{"word_gating": 1.0}, {"subjects": "boxes"}])
def test_both_halves_are_gated_alike(folder: Path, change: dict[str, object]) -> None:
    """If the photos were the blank ones, guidance would find no difference but the text's."""
    if change.get("subjects") == "boxes":
        left, right = Box(0, 0, 0.5, 1), Box(0.5, 0, 1, 1)
        change = {"subjects": (replace(SUBJECTS[0], region=left), replace(SUBJECTS[1], region=right))}
    plus = _load(folder, "plus")
    condition = plus.conditions(replace(REQUEST, **change)).personal
    halves = condition.subjects.tokens[:1].expand_as(condition.subjects.tokens)
    layers = plus.adapter.condition_layers(
        plus.weights.current(),
        condition.text.states[1:].expand_as(condition.text.states),
        replace(condition.subjects, tokens=halves),
        condition.scales,
    )
    same = replace(condition, added={name: x[1:].expand_as(x) for name, x in condition.added.items()}, layers=layers)
    latents = plus.backbone.noise(0, 32, 32).expand(2, -1, -1, -1)
    with torch.no_grad():
        unconditional, conditional = plus.backbone.predict_noise(latents, torch.tensor(500), same)
    torch.testing.assert_close(unconditional, conditional, atol=1e-5, rtol=1e-5)


def test_a_photo_cache_changes_nothing(folder: Path) -> None:
    plus, cache = _load(folder, "plus"), PhotoCache()
    fresh = plus.conditions(REQUEST).personal.subjects.tokens
    for _ in range(2):
        _last(plus, replace(REQUEST, steps=1), cache)
    assert len(cache) == 4, "three photos and the blank one"
    assert torch.equal(fresh, plus.conditions(REQUEST).personal.subjects.tokens)


def test_maps_of_both_subjects_share_every_pixel(folder: Path) -> None:
    """Without a null token the image maps of several subjects sum to one, and of one they are flat."""
    maps = _last(_load(folder, "plus"), REQUEST).maps
    total = maps.at("cat", "image") + maps.at("robot", "image")
    assert total.min() == pytest.approx(1, abs=1e-3)
    assert total.max() == pytest.approx(1, abs=1e-3)
    alone = _last(_load(folder, "plus"), replace(REQUEST, prompt="a cat", subjects=SUBJECTS[:1])).maps
    assert alone.at("cat", "image").std() < 1e-3
    assert alone.at("cat", "influence").std() > 1e-3


@pytest.mark.parametrize("kind", ["plain", "plus"])
def test_attached_it_makes_the_same_image(folder: Path, kind: Kind) -> None:
    request = replace(REQUEST, word_gating=0.5, start_step=1)
    personalizer = _load(folder, kind)
    pipe = tiny.open_stock(folder / "base")
    pipe.set_progress_bar_config(disable=True)
    with personalizer.attach(pipe) as attached:
        condition = attached.condition(request)
        theirs = pipe(**condition.pipeline_kwargs(), output_type="np").images[0]
    ours = torch.tensor(np.asarray(_last(personalizer, request).image) / 255).float()
    torch.testing.assert_close(torch.tensor(theirs), ours, atol=1 / 255 + 1e-3, rtol=0)
    assert condition.maps.at("cat", "influence").shape == (16, 16)


# ---------------------------------------------------------------- one file


def test_convert_accounts_for_every_tensor(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, source = tmp_path / "one.safetensors", folder / "sdxl_models" / "faceid-plus.safetensors"
    assert main(["convert", str(source), "--out", str(out), "--base", str(folder / "base")]) == 0
    told = capsys.readouterr().out
    count = len(read_foreign(source).tensors)
    assert f"all {count} tensors converted" in told
    assert "image_proj: " in told
    converted = open_adapter(out, layers_of(tiny.stable_diffusion_xl())).adapter
    direct = open_adapter(source, layers_of(tiny.stable_diffusion_xl())).adapter
    assert converted.config == direct.config
    assert all(torch.equal(x, direct.state_dict()[name]) for name, x in converted.state_dict().items())


def test_convert_needs_a_base_of_a_known_width(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = folder / "sdxl_models" / "plain.safetensors"
    assert main(["convert", str(source), "--out", str(tmp_path / "one.safetensors")]) == 2
    assert "a base model with a context of 80 channels: give it with --base" in capsys.readouterr().err


def test_an_adapter_for_another_base_is_refused(folder: Path) -> None:
    pipe: StableDiffusionPipeline = tiny.stable_diffusion()
    with pytest.raises(CheckpointError, match="was made for another base"):
        Personalizer.of_pipeline(pipe, folder / "sdxl_models" / "plain.safetensors")
