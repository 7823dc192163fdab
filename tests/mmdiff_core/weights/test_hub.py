"""Where models are, and what a broken one is told: on folders and caches that the tests make."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers.pipelines.pipeline_loading_utils import variant_compatible_siblings

from mmdiff_core.backbones import registry
from mmdiff_core.backbones.registry import AvailableModel, available_models, image_encoder_state, load_backbone
from mmdiff_core.errors import ModelError
from mmdiff_core.weights import hub
from tests.helpers import tiny


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_model("sd", tmp_path_factory.mktemp("sd"))


@pytest.fixture
def copied(sd: Path, tmp_path: Path) -> Path:
    """A folder to break."""
    return Path(shutil.copytree(sd, tmp_path / "model"))


@pytest.fixture
def cache(sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache that holds the tiny model as "maker/model", laid out as the hub does: links to blobs."""
    root = tmp_path / "hub"
    repository = root / "models--maker--model"
    snapshot = repository / "snapshots" / ("0" * 40)
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "blobs").mkdir()
    for index, path in enumerate(sorted(path for path in sd.rglob("*") if path.is_file())):
        link = snapshot / path.relative_to(sd)
        link.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, repository / "blobs" / str(index))
        link.symlink_to(repository / "blobs" / str(index))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(root))
    return snapshot


def _cut(path: Path, by: int = 100) -> None:
    path.write_bytes(path.read_bytes()[:-by])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "vae" / "diffusion_pytorch_model.safetensors").unlink(), 'weights in the folder ".*vae" are'),
        (lambda f: (f / "text_encoder" / "config.json").unlink(), 'text_encoder/config.json" is missing'),
        (lambda f: (f / "tokenizer" / "tokenizer.json").unlink(), 'tokenizer/tokenizer.json" is missing'),
        (lambda f: (f / "scheduler" / "scheduler_config.json").unlink(), 'scheduler_config.json" is missing'),
        (lambda f: shutil.rmtree(f / "unet"), 'unet/config.json" is missing'),
        (lambda f: _cut(f / "unet" / "diffusion_pytorch_model.safetensors"), 'unet/diffusion.*" was cut off'),
        (lambda f: _cut(f / "unet" / "diffusion_pytorch_model.safetensors", 10**9), 'unet/diffusion.*" was cut off'),
        (lambda f: (f / "vae" / "config.json").write_text('{"a": '), 'vae/config.json" is damaged'),
        (lambda f: (f / "tokenizer" / "tokenizer.json").write_text("[]"), 'tokenizer.json" is damaged'),
        (
            lambda f: (f / "unet" / "x.safetensors.index.json").write_text("{"),
            'unet/x.safetensors.index.json" is damaged',
        ),
        (lambda f: (f / "model_index.json").write_text("{"), 'model_index.json" is damaged'),
        (lambda f: (f / "model_index.json").unlink(), "has no model_index.json"),
    ],
)
def test_a_broken_folder_names_the_file_and_the_cure(copied: Path, spoil, message: str) -> None:
    spoil(copied)
    with pytest.raises(ModelError, match=message) as caught:
        load_backbone(copied)
    assert "again" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_shard_too_few(copied: Path) -> None:
    part = copied / "unet"
    (part / "diffusion_pytorch_model.safetensors").rename(part / "diffusion_pytorch_model-00001-of-00002.safetensors")
    names = {"a": "diffusion_pytorch_model-00001-of-00002.safetensors", "b": "diffusion_pytorch_model-2.safetensors"}
    (part / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    assert list(hub.problems(copied)) == [f'the file "{part / names["b"]}" is missing']


def test_a_half_downloaded_bin_file(copied: Path) -> None:
    """As older models have them; an empty one, and one whose end is missing."""
    part = copied / "unet"
    whole = part / "diffusion_pytorch_model.bin"
    torch.save({"weight": torch.ones(9)}, whole)
    (part / "diffusion_pytorch_model.safetensors").unlink()
    assert list(hub.problems(copied)) == []
    _cut(whole)
    assert list(hub.problems(copied)) == [f'the file "{whole}" was cut off']
    whole.write_bytes(b"")
    assert list(hub.problems(copied)) == [f'the file "{whole}" was cut off']


def test_weights_of_another_model(copied: Path, sd: Path) -> None:
    shutil.copy(sd / "vae" / "config.json", copied / "unet" / "config.json")
    with pytest.raises(ModelError, match="cannot be opened: a file in"):
        load_backbone(copied)


def test_the_unused_safety_checker_may_be_absent(copied: Path) -> None:
    index = json.loads((copied / "model_index.json").read_text())
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    (copied / "model_index.json").write_text(json.dumps(index))
    assert load_backbone(copied)[0].unet is not None


def test_a_folder_in_half_precision_alone(tmp_path: Path) -> None:
    pipe = tiny.stable_diffusion().to(torch.float16)
    pipe.save_pretrained(tmp_path, variant="fp16")
    assert hub.variant_of(tmp_path) == "fp16"
    backbone, _ = load_backbone(tmp_path)
    assert {x.dtype for x in backbone.unet.parameters()} == {torch.float32}
    expected = pipe.unet.state_dict()
    assert all(torch.equal(x, expected[name].float()) for name, x in backbone.unet.state_dict().items())


def test_a_plain_folder_has_no_variant(sd: Path, copied: Path) -> None:
    assert hub.variant_of(sd) is None
    weights = copied / "unet" / "diffusion_pytorch_model.safetensors"
    shutil.copy(weights, weights.with_name("diffusion_pytorch_model.fp16.safetensors"))
    assert hub.variant_of(copied) is None


def test_a_model_in_the_cache(cache: Path) -> None:
    assert load_backbone("maker/model")[0].name == "maker/model"
    (cache / "vae" / "config.json").unlink()
    with pytest.raises(ModelError, match=r'vae/config.json" is missing.*models --download maker/model" again'):
        load_backbone("maker/model")


# ---------------------------------------------------------------- the list


def _by_key(folders: list[Path]) -> dict[str, AvailableModel]:
    return {model.key: model for model in available_models(folders)}


def test_what_there_is(sd: Path, copied: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toybox = tiny.save_toybox(copied.parent / "trained")
    monkeypatch.setattr(registry, "FOLDER", toybox)
    _cut(copied / "unet" / "diffusion_pytorch_model.safetensors")
    found = _by_key([sd, copied.parent])
    assert next(iter(found)) == "toybox"

    assert found["toybox"].present
    assert (found["toybox"].where, found["toybox"].complete) == ("built-in", True)
    assert found[str(toybox)].complete
    stock = found[str(sd)]
    assert (stock.title, stock.where, stock.present, stock.complete) == ("Stable Diffusion", "folder", True, False)
    assert stock.size == sum(path.stat().st_size for path in sd.rglob("*") if path.is_file())
    assert stock.how_to_get == stock.missing == ""
    broken = found[str(copied)]
    assert not broken.present
    assert "was cut off" in broken.missing
    assert "again" in broken.how_to_get
    cached = found["maker/model"]
    assert (cached.where, cached.present) == ("hub cache", True)
    assert 0 < cached.size < 2 * stock.size
    absent = found["stabilityai/stable-diffusion-xl-base-1.0"]
    assert (absent.where, absent.present, absent.size) == ("hub", False, None)
    assert absent.how_to_get == "python -m mmdiff_core models --download stabilityai/stable-diffusion-xl-base-1.0"


def test_an_incomplete_built_in_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "FOLDER", tmp_path)
    model = _by_key([])["toybox"]
    assert not model.present
    assert "adapter.safetensors" in model.missing
    assert model.how_to_get


def test_a_model_of_another_kind(copied: Path) -> None:
    (copied / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))
    model = _by_key([copied])[str(copied)]
    assert (model.title, model.present) == ("FluxPipeline", False)
    assert "cannot be used" in model.missing


def test_the_image_encoder_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    state = image_encoder_state()
    assert (state.key, state.where, state.present) == ("openai/clip-vit-large-patch14", "hub", False)
    assert "--download openai/clip-vit-large-patch14" in state.how_to_get


def test_an_empty_cache_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "none"))
    assert list(hub.cached_models()) == []


# ---------------------------------------------------------------- downloads


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if downloads were allowed, whatever the environment of the tests says."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


@pytest.mark.usefixtures("online")
def test_only_what_is_needed_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, dict[str, object]]] = []

    def fetch(name: str, **options: object) -> str:
        asked.append((name, options))
        return str(tmp_path)

    monkeypatch.setattr(hub, "greet", lambda _: None)
    monkeypatch.setattr(hub.DiffusionPipeline, "download", fetch)
    monkeypatch.setattr(hub, "snapshot_download", fetch)
    assert hub.download("maker/model") == tmp_path
    assert hub.download(hub.CLIP) == tmp_path
    assert asked[0] == ("maker/model", {"variant": "fp16", "safety_checker": None})
    assert asked[1][0] == hub.CLIP
    assert "model.safetensors" in asked[1][1]["allow_patterns"]  # and not the other formats of the same weights


@pytest.mark.usefixtures("online")
def test_a_model_that_is_not_offered_in_half_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(name: str, variant: str | None = None, **_: object) -> str:
        if variant is not None:
            variant_compatible_siblings({"model_index.json", "unet/diffusion_pytorch_model.safetensors"}, variant)
        return str(tmp_path)

    monkeypatch.setattr(hub, "greet", lambda _: None)
    monkeypatch.setattr(hub.DiffusionPipeline, "download", fetch)
    with pytest.raises(ValueError, match="fp16"):  # diffusers' own words
        fetch("maker/model", "fp16")
    assert hub.download("maker/model") == tmp_path


@pytest.mark.usefixtures("online")
def test_a_failed_download_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str, **_: object) -> str:
        raise OSError(f"{name} is not a valid model identifier\nand much more")

    monkeypatch.setattr(hub, "greet", lambda _: None)
    monkeypatch.setattr(hub.DiffusionPipeline, "download", fail)
    with pytest.raises(ModelError, match=r'"no/where" cannot be downloaded: check the name.*identifier\)$') as caught:
        hub.download("no/where")
    assert "\n" not in str(caught.value)
