"""What the documentation does with Stable Diffusion, followed with tiny models in place of the real ones."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel
from PIL import Image

from demo.server import launch
from mmdiff_core.backbones import toybox
from mmdiff_core.backbones.base import Defaults
from mmdiff_core.benchmarks import full_size_models
from mmdiff_core.cli.main import main
from mmdiff_core.encoders import face
from mmdiff_core.evaluation.ablation import run as ablation
from mmdiff_core.evaluation.ablation import side_by_side
from mmdiff_core.evaluation.ablation.run import AblationOptions, recipe_of
from mmdiff_core.evaluation.toybox import toybox_judge
from mmdiff_core.referee.network import Referee, save_referee
from mmdiff_core.toyworld.scenes.vocabulary import save_vocabulary
from mmdiff_core.training.toybox import cached_dataset
from mmdiff_core.weights.adapter_file import load_adapter_file
from mmdiff_core.weights.hub import VIT_BIGG
from mmdiff_core.weights.hub_adapters import image_encoder_for, is_adapter_name
from tests.helpers import single_files, tiny
from tests.helpers.documents import blocks, commands, of_program, read, section
from tests.helpers.evaluators import save_evaluators
from tests.helpers.faces import BLUE, GREEN, RED, Squares, group, identity
from tests.helpers.ip_adapters import ip_adapter, save_ip_adapter
from tests.helpers.markdown import cells
from tests.helpers.ms_adapters import ms_adapter
from tests.helpers.paths import DOCS, README
from tests.helpers.small_referee import CONFIG, VOCABULARY
from tests.helpers.tiny_shapes import TINY_SHAPES
from tests.parity.recordings import write_release
from tests.parity.test_pipeline import base_pipeline

SD, SDXL = "stable-diffusion-v1-5/stable-diffusion-v1-5", "stabilityai/stable-diffusion-xl-base-1.0"


PAGES = [DOCS / f"{name}.md" for name in ("stable_diffusion", "faces", "stock_pipelines", "evaluation", "benchmarks")]
PLUS = "h94/IP-Adapter/models/ip-adapter-plus_sd15.safetensors"
PLUS_XL = "h94/IP-Adapter/sdxl_models/ip-adapter-plus_sdxl_vit-h.safetensors"
ONE_FILE = "dreamshaper-xl.safetensors"
COMMANDS = [words for page in PAGES for words in commands(read(page))]
APPS = [words for words in COMMANDS if words[:2] == ["python", "app.py"]]
PROGRAMS = {page.stem: blocks(read(page), "python") for page in PAGES}

# The programs use no old names.
pytestmark = pytest.mark.filterwarnings("error:.*will be removed in the next version:DeprecationWarning")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with everything that the reader of these pages has, in small."""
    folder = tmp_path_factory.mktemp("readme")
    tiny.save_model("sd", folder / SD)
    (folder / SD / "adapter.safetensors").rename(folder / "adapter.safetensors")
    tiny.save_model("sdxl", folder / SDXL, source="face", null_token=False, patches_with_cls=True)
    (folder / SDXL / "adapter.safetensors").rename(folder / "portrait.safetensors")
    save_ip_adapter(ip_adapter("plus", tiny.stable_diffusion()), folder / PLUS)
    one_file = single_files.sdxl()
    single_files.write_file(one_file, folder / ONE_FILE)
    save_ip_adapter(ip_adapter("plus", one_file), folder / PLUS_XL)
    tiny.image_encoder().save_pretrained(folder / "h94/IP-Adapter/models/image_encoder")
    torch.save(ms_adapter(tiny.stable_diffusion_xl()), folder / "ms_adapter.bin")
    for number, name in enumerate(("cat", "dog", "edges")):
        tiny.photo(number, (32, 32)).save(folder / f"{name}.png")
    Image.new("L", (16, 16), 255).save(folder / "mask.png")
    for name, photo in {"a": group(RED), "group": group(GREEN, BLUE), "man": group(RED), "face": group(RED)}.items():
        photo.save(folder / f"{name}.png")
    np.save(folder / "face.npy", np.array(identity(RED)))
    for name in ("cat", "dog"):
        (folder / "dreambooth" / "dataset" / name).mkdir(parents=True)
        tiny.photo(5).save(folder / "dreambooth" / "dataset" / name / "00.jpg")
    unet = tiny.stable_diffusion().unet
    control = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 8))
    control.save_pretrained(folder / "lllyasviel/sd-controlnet-canny")
    return folder


@pytest.fixture(autouse=True)
def reader(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In that folder, where a name of the hub is a folder; faces are squares."""
    monkeypatch.chdir(place)
    monkeypatch.setattr(face.InsightFaces, "find", lambda self, photo: Squares().find(photo))
    monkeypatch.setattr(full_size_models, "MODEL_SHAPES", TINY_SHAPES)


def _named(command: str, *words: str) -> list[list[str]]:
    """Return the words after ``mmdiff_core`` of every command of a name, those that have all of ``words``."""
    found = [arguments for line in COMMANDS if (arguments := of_program(line)) and arguments[0] == command]
    return [arguments for arguments in found if set(words) <= set(arguments)]


@pytest.mark.parametrize("words", _named("generate"), ids=lambda words: words[-1])
def test_pictures(words: list[str], place: Path) -> None:
    assert main([*words, "--steps", "2"]) == 0
    assert list((place / words[-1]).glob("1_seed0*.png"))


def test_the_app_opens_the_same_model() -> None:
    opened = [launch.load_model(launch.parse_flags(words[2:])) for words in APPS]
    assert [model.backbone.name for model in opened] == [SD, SD, ONE_FILE]
    assert [model.origin.adapter for model in opened] == [PLUS, "adapter.safetensors", PLUS_XL]


def test_the_readme_opens_it_too() -> None:
    (words,) = (words for words in commands(section(README, "## On Stable Diffusion")) if "app.py" in words)
    assert words == APPS[0]
    downloads = [of_program(words)[-1] for words in commands(section(README, "## On Stable Diffusion"))[:2]]
    assert downloads == [SD, PLUS]


def test_every_listed_ip_adapter_is_fetched_with_what_it_reads() -> None:
    rows = [
        row for row in cells(section(DOCS / "stable_diffusion.md", "## On your own photos, today")) if "`" in row[2]
    ]
    assert len(rows) == 11
    for kind, base, file, reads, licence in rows:
        name = file.strip("`")
        assert is_adapter_name(name)
        encoder = image_encoder_for(name)
        assert (encoder is None) == (kind == "FaceID")
        assert (encoder == VIT_BIGG) == ("ViT-bigG" in reads)
        assert (licence == "research only") == kind.startswith("FaceID")
        assert ("sdxl" in name) == (base == "SDXL")


def test_models_and_dry_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", SD]) == 0
    assert "use it with --base" in capsys.readouterr().out
    for words in _named("dryrun"):
        assert main([*words, "--device", "cpu", "--steps", "1"]) == 0


def test_dreambench(place: Path, tmp_path: Path) -> None:
    (words,) = _named("evaluate", "dreambench")
    clip, dino = save_evaluators(tmp_path)
    judged = ["--clip", str(clip), "--dino", str(dino), "--quick", "--steps", "1", "--device", "cpu"]
    assert main([*words, *judged]) == 0
    assert (place / "report" / "dreambench.md").is_file()


def test_the_official_files_become_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the recorded checkpoint and its base model, which is another one than the tiny SDXL here."""
    words = next(words for words in _named("convert") if words[1] == "official/")
    base_pipeline().save_pretrained(tmp_path / SDXL)
    (tmp_path / "official").mkdir()
    write_release(tmp_path / "official")
    monkeypatch.chdir(tmp_path)
    assert main(words) == 0
    assert load_adapter_file(tmp_path / "portrait.safetensors").adapter.config.source == "face"


def test_an_ip_adapter_becomes_one_file(place: Path) -> None:
    assert main(next(words for words in _named("convert") if words[1] == PLUS)) == 0
    assert load_adapter_file(place / "ip-adapter-plus.safetensors").adapter.config.resampler is not None


@pytest.mark.slow
def test_leakage_of_weights_that_were_trained_without_the_constraints(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second command takes the file that the first one leaves."""
    (training,), (measuring,) = _named("ablate", "no-constraints"), _named("evaluate", "leakage")
    for module, name, value in (
        (toybox_judge, "CANDIDATES", 4), (toybox_judge, "DISTRACTORS", 3),
        (toybox, "DEFAULTS", Defaults(steps=2, guidance=2.0)),
        (ablation, "TIMED_STEPS", 1), (side_by_side, "ROUNDS", 1), (side_by_side, "SHOWN", {1: 1, 2: 1}),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)
    model, referee = tiny.save_toybox(tmp_path / "model"), tmp_path / "referee.safetensors"
    save_vocabulary(VOCABULARY, model)
    torch.manual_seed(0)
    save_referee(Referee(CONFIG), referee)
    options = AblationOptions(Path(), (), model, referee, steps=1, batch=4, scenes=12, prompts=1)
    pool = place / training[training.index("--out") + 1] / "pool"
    pool.mkdir(parents=True)  # so that no other process is started to render it
    cached_dataset.render_shard(
        pool / "00000.safetensors", recipe_of(toybox.load_toybox(model)[0], options, 1), cached_dataset.SHARD_SIZE
    )

    small = ["--referee", str(referee), "--prompts", "1", "--device", "cpu"]
    more = ["--model", str(model), "--steps", "1", "--batch", "4", "--scenes", "12"]
    assert main([*training, *more, *small]) == 0
    assert main([*measuring, "--model", str(model), "--quick", *small]) == 0
    assert "attributes swapped between the subjects" in [row[0] for row in cells(capsys.readouterr().out)]


@pytest.mark.parametrize("page", [page for page, programs in PROGRAMS.items() if programs])
def test_python(page: str, place: Path) -> None:
    (source,) = PROGRAMS[page]
    exec(compile(source, f"{page}.md", "exec"), {})
    (saved,) = re.findall(r'\.save\("(\w+\.png)"\)', source)
    with Image.open(place / saved) as image:
        assert image.size == (32, 32)
