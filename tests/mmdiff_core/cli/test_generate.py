"""The command line, end to end on a tiny model in the place of the built-in one."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdiff_core.backbones.schedulers import SCHEDULERS
from mmdiff_core.cli.main import main
from mmdiff_core.errors import PhotoError
from mmdiff_core.output.export import read_settings
from mmdiff_core.types import MAP_KINDS, Components
from tests.helpers import tiny
from tests.helpers.command_line import all_parsers

PROMPT = "a cat next to a robot on the beach"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_model("sd", tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for index, name in enumerate(("a", "b", "c")):
        tiny.photo(index).save(folder / f"{name}.png")
    (folder / "broken.png").write_bytes(b"no photo")
    return folder


def _generate(model: Path, photos: Path, out: Path, *more: str, prompt: str = PROMPT) -> int:
    subjects = ["--subject", f"cat={photos / 'a.png'},{photos / 'b.png'}", "--subject", f"robot={photos / 'c.png'}"]
    loaded = ["--base", str(model), "--adapter", str(model / "adapter.safetensors"), "--device", "cpu"]
    options = ["--steps", "2", "--prompt", prompt, "--out", str(out), *more]
    return main(["generate", *loaded, *subjects, *options])


def test_each_photo_of_a_subject_has_its_map(model: Path, photos: Path, tmp_path: Path) -> None:
    assert _generate(model, photos, tmp_path, "--per-photo") == 0
    overlays = ["1_cat", "1_cat_photo1", "1_cat_photo2", "2_robot", "2_robot_photo1"]
    assert sorted(path.stem for path in tmp_path.glob("1_seed0_?_*.png")) == [f"1_seed0_{name}" for name in overlays]
    with np.load(tmp_path / "1_seed0_maps.npz") as written:
        assert written["photos"].tolist() == [[0, 0], [0, 1], [1, 0]]
        layer = next(name.removeprefix("photos/") for name in written.files if name.startswith("photos/"))
        assert written[f"photos/{layer}"].shape[:2] == (2, 3)
        cat = written[f"photos/{layer}"][:, :2].astype(float).sum(1)
        assert np.allclose(cat, written[f"image/{layer}"][:, 0], atol=2e-3)


def test_files_of_a_run(model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "out"
    assert _generate(model, photos, out, "--seed", "7", "9", "--scale", "cat=0.5", "--width", "40") == 0
    names = [f"{stem}{end}" for stem in ("1_seed7", "2_seed9") for end in (".png", "_1_cat.png", "_2_robot.png")]
    maps = ["1_seed7_maps.npz", "2_seed9_maps.npz"]
    assert {path.name for path in out.iterdir()} == {*names, *maps, "settings.json"}
    shown = capsys.readouterr()
    assert str(out / "1_seed7.png") in shown.out
    assert "image 2 of 2" in shown.err

    for name in names:
        with Image.open(out / name) as image:
            assert image.size == ((40, 32) if name in (names[0], names[3]) else (400, 320))  # overlays are enlarged
    assert not np.array_equal(np.asarray(Image.open(out / names[0])), np.asarray(Image.open(out / names[1])))
    with np.load(out / maps[0]) as written:
        assert written["subjects"].tolist() == ["cat", "robot"]
    settings = json.loads((out / "settings.json").read_text())
    assert [picture["seed"] for picture in settings["pictures"]] == [7, 9]
    assert settings["pictures"][0]["subjects"][0] == {"name": "cat", "strength": 0.5, "photos": 2}
    assert settings["pictures"][0]["files"][0] == "1_seed7.png"
    assert settings["subjects"][1] == f"robot={photos / 'c.png'}"


def test_settings_inside_the_picture(model: Path, photos: Path, tmp_path: Path) -> None:
    assert _generate(model, photos, tmp_path, "--seed", "3", "--negative-prompt", "snow", "--guidance", "2.5") == 0
    settings = read_settings(tmp_path / "1_seed3.png")
    assert settings["prompt"] == PROMPT
    assert (settings["seed"], settings["steps"], settings["guidance"]) == (3, 2, 2.5)
    with Image.open(tmp_path / "1_seed3.png") as image:
        lines = image.info["parameters"].splitlines()
    assert lines[:2] == [PROMPT, "Negative prompt: snow"]
    assert lines[2].startswith("Steps: 2, CFG scale: 2.5, Seed: 3, Size: 32x32, Model: ")


def test_a_picture_of_somebody_else(photos: Path) -> None:
    with pytest.raises(PhotoError, match="carries no settings"):
        read_settings(photos / "a.png")


def test_same_flags_same_picture(model: Path, photos: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert _generate(model, photos, tmp_path / name) == 0
    one, two = ((tmp_path / name / "1_seed0.png").read_bytes() for name in ("one", "two"))
    assert one == two


def test_number_of_pictures_and_no_maps(model: Path, photos: Path, tmp_path: Path) -> None:
    assert _generate(model, photos, tmp_path, "--seed", "4", "--images", "2", "--no-maps") == 0
    assert {path.name for path in tmp_path.iterdir()} == {"1_seed4.png", "2_seed5.png", "settings.json"}


def test_regions_and_binding(model: Path, photos: Path, tmp_path: Path) -> None:
    Image.new("L", (20, 20), 255).save(tmp_path / "mask.png")
    regions = ["--region", "cat=0,0,0.5,1", "--region", f"robot={tmp_path / 'mask.png'}"]
    assert _generate(model, photos, tmp_path / "out", *regions, "--word-gating", "0.5") == 0
    settings = read_settings(tmp_path / "out" / "1_seed0.png")
    assert [subject["region"] for subject in settings["subjects"]] == [[0, 0, 0.5, 1], "mask"]
    assert settings["binding"] == 0.5


@pytest.mark.slow
def test_settings_that_other_programs_have(model: Path, photos: Path, tmp_path: Path) -> None:
    pictures = {}
    for name, flags in {
        "plain": (),
        "all": ("--clip-skip", "1", "--guidance-rescale", "0.7", "--balance-photos", "--scheduler", "euler-a"),
        "weights": (),
    }.items():
        prompt = "a (cat:1.4) next to a [robot] on the beach" if name == "weights" else PROMPT
        assert _generate(model, photos, tmp_path / name, *flags, prompt=prompt) == 0
        pictures[name] = next((tmp_path / name).glob("1_seed*[0-9].png"))
    settings = read_settings(pictures["all"])
    expected = {"clip_skip": 1, "guidance_rescale": 0.7, "balance_photos": True, "sampler": "euler-a"}
    assert settings.items() >= expected.items()
    found = {name: np.asarray(Image.open(path)) for name, path in pictures.items()}
    assert not np.array_equal(found["plain"], found["all"])
    assert not np.array_equal(found["plain"], found["weights"])


def test_a_folder_of_photos(model: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    for index in range(3):
        tiny.photo(index).save(tmp_path / "cats" / f"{index}.jpg")
    (tmp_path / "cats" / "notes.txt").write_text("not a photo")
    arguments = ["--base", str(model), "--adapter", str(model / "adapter.safetensors"), "--device", "cpu"]
    subject = ["--subject", f"cat={tmp_path / 'cats'}", "--prompt", "a cat", "--steps", "1"]
    assert main(["generate", *arguments, *subject, "--out", str(tmp_path)]) == 0
    assert read_settings(tmp_path / "1_seed0.png")["subjects"] == [{"name": "cat", "strength": 1.0, "photos": 3}]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--subject", "cat"], "--subject cat cannot be read"),
        (["--subject", "dog={photos}/broken.png"], '"broken.png" is not a picture'),
        (["--subject", "dog={photos}/none.png"], '"none.png" is not there'),
        (["--subject", "dog={photos}/a.png"], '"dog" is not in the prompt'),
        (["--scale", "dog=1"], "names no subject: there is cat, robot"),
        (["--scale", "cat=much"], '"much" is not a number'),
        (["--region", "dog=0,0,1,1"], "names no subject: there is cat, robot"),
        (["--region", "cat=0,0,2,1"], 'box of "cat" must lie in the image'),
        (["--region", "cat=none.png"], '"none.png" is not there'),
        (["--word-gating", "2"], "word gating must be from 0 to 1, but is 2"),
        (["--scale", "cat=7"], 'scale of "cat" must be from 0 to 3, but is 7'),
        (["--steps", "0"], "number of steps must be from 1"),
        (["--width", "33"], "multiple of 2"),
        (["--images", "0"], "--images must be at least 1"),
        (["--image", "none.png"], '"none.png" is not there'),
        (["--base", "no/such-model"], "python -m mmdiff_core models --download no/such-model"),
        (["--offload", "offload"], "the device is the CPU"),
        (["--text-encoder-2-lora"], "no LoRA for a second text encoder"),
        (["--adapter", "none.safetensors"], "none.safetensors"),
        (["--out", "{photos}/a.png"], "cannot be made"),
        (["--fast"], "no preset for few steps"),
        (["--device", "abacus"], 'device "abacus" cannot be used'),
        (["--subject", "cat={photos}/none/"], "is not there"),
    ],
)
def test_bad_input_is_one_sentence_and_code_two(
    model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    flags = [flag.format(photos=photos) for flag in flags]
    assert _generate(model, photos, tmp_path, *flags) == 2
    shown = capsys.readouterr()
    (line,) = shown.err.strip().splitlines()
    assert message in line
    assert list(tmp_path.iterdir()) == []


def test_few_steps_are_the_students_and_its_settings_are_written(photos: Path, tmp_path: Path) -> None:
    model = tiny.add_student(tiny.save_toybox(tmp_path / "model"))
    flags = ["--model", str(model), "--device", "cpu", "--subject", f"cat={photos / 'a.png'}", "--prompt", "a cat"]
    images = []
    for name, chosen in (("fast", ["--fast"]), ("named", ["--scheduler", "distilled"])):
        assert main(["generate", *flags, *chosen, "--out", str(tmp_path / name)]) == 0
        (written,) = json.loads((tmp_path / name / "settings.json").read_text())["pictures"]
        assert (written["steps"], written["guidance"], written["sampler"]) == (2, 1.0, "distilled")
        images.append((tmp_path / name / "1_seed0.png").read_bytes())
    assert images[0] == images[1]


def test_stopping_keeps_what_is_finished(
    model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mmdiff_core.backbones.stable_diffusion import StableDiffusion

    calls = iter(range(100))
    predict = StableDiffusion.predict_noise

    def interrupted(*arguments: object) -> object:
        if next(calls) == 3:
            raise KeyboardInterrupt
        return predict(*arguments)

    monkeypatch.setattr(StableDiffusion, "predict_noise", interrupted)
    assert _generate(model, photos, tmp_path, "--seed", "1", "2") == 130
    assert "Stopped" in capsys.readouterr().err
    assert (tmp_path / "1_seed1.png").exists()
    assert len(json.loads((tmp_path / "settings.json").read_text())["pictures"]) == 1


def test_the_words_are_those_of_the_core() -> None:
    """They are written twice, so that --help starts without torch."""
    flags = {action.dest: action for action in all_parsers("generate")["generate",]._actions}
    assert tuple(flags["without"].choices) == tuple(field.name for field in fields(Components))
    assert set(flags["map"].choices) == set(MAP_KINDS)
    assert all(name in flags["scheduler"].help for name in SCHEDULERS)


# ---------------------------------------------------------------- which model


def test_a_complete_model_and_a_base_are_two_flags(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["generate", "--prompt", "a cat", "--steps", "1", "--out", str(tmp_path / "out"), "--device", "cpu"]
    (tmp_path / "toybox").mkdir()
    assert main([*asked, "--model", str(tiny.save_toybox(tmp_path / "toybox"))]) == 0
    assert read_settings(tmp_path / "out" / "1_seed0.png")["model"] == "toybox"
    assert main([*asked, "--model", str(model)]) == 2
    assert "preview.json not found in it" in (told := capsys.readouterr().err)
    assert "give it with --base" in told
    assert main([*asked, "--model", "no such thing"]) == 2
    assert 'neither "toybox" nor a folder that training wrote' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*asked, "--model", str(model), "--base", str(model)])
    assert "not allowed with argument" in capsys.readouterr().err


def test_precision_is_a_flag(model: Path, photos: Path, tmp_path: Path) -> None:
    assert _generate(model, photos, tmp_path / "full") == 0
    assert _generate(model, photos, tmp_path / "half", "--dtype", "bfloat16") == 0
    full, half = (np.asarray(Image.open(tmp_path / name / "1_seed0.png"), dtype=int) for name in ("full", "half"))
    assert np.abs(full - half).max() > 0
    assert np.abs(full - half).mean() < 10


def test_an_image_to_start_from(model: Path, photos: Path, tmp_path: Path) -> None:
    start = ["--image", str(photos / "a.png"), "--image-strength", "0.5"]
    assert _generate(model, photos, tmp_path, *start) == 0
    settings = read_settings(tmp_path / "1_seed0.png")
    assert (settings["steps"], settings["image_strength"]) == (2, 0.5)
    with Image.open(tmp_path / "1_seed0.png") as image:
        assert "Denoising strength: 0.5, " in image.info["parameters"]
