"""What holds for any prompt, any photo, any maps and any adapter; hypothesis looks for those for which it does not."""

from __future__ import annotations

import io
import string
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as some
from PIL import Image
from safetensors.torch import load_file, save_file

from mmdiff_core.encoders.photo import MAX_SIDE, MIN_SIDE, load_photo, pad_to_square, prepare_photo
from mmdiff_core.encoders.prompt import TRIGGER, find_words, tokenize
from mmdiff_core.errors import CheckpointError, PhotoError, PromptError
from mmdiff_core.maps.attention_maps import AttentionMaps, StepMaps
from mmdiff_core.maps.heatmap import overlay
from mmdiff_core.nn.adapter import AdapterConfig, MMDiffAdapter, TextTower
from mmdiff_core.nn.config import AttentionLayer
from mmdiff_core.types import MAP_KINDS
from mmdiff_core.weights.adapter_file import load_adapter, save_adapter
from tests.helpers import tiny

# No deadline: no test fails on a time. Always the same examples: what is red here is red everywhere.
usual = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
few = settings(usual, max_examples=15)

# ---------------------------------------------------------------- prompts

WORDS = some.text(string.ascii_letters + "éß猫", min_size=1, max_size=8)
NAMES = some.lists(WORDS, min_size=1, max_size=4, unique_by=str.lower)
ANY_TEXT = some.text(max_size=120) | some.lists(
    some.sampled_from(["cat", "dog", TRIGGER, " ", "\t", "\n", ",", "a", "🐈", "\u202e", "-", "'"]), max_size=40
).map("".join)


@usual
@given(ANY_TEXT, some.lists(some.text(max_size=12) | WORDS, max_size=4))
def test_any_prompt_is_read_or_refused_in_a_sentence(prompt: str, names: list[str]) -> None:
    try:
        clean, words = find_words(prompt, names)
    except PromptError as error:
        said = str(error)
    else:
        said = ""
    assert len(said) < 1000
    if said:
        return
    assert TRIGGER not in clean
    assert [word.subject for word in words] == list(range(len(names)))
    for word in words:
        assert clean[word.start : word.end] == word.text
        assert word.text.strip()
    spans = sorted((word.start, word.end) for word in words)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))  # no word is shared


@usual
@given(NAMES, some.randoms(use_true_random=False), some.booleans())
def test_every_name_that_stands_there_is_found(names: list[str], rng: object, marked: bool) -> None:
    shuffled = list(names)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    prompt = " and ".join(f"a {name}{TRIGGER if marked else ''}" for name in shuffled)
    assume(all(other == name or other.lower() not in ("a", "and", name.lower()) for name in names for other in names))
    assume(not {"a", "and"} & {name.lower() for name in names})
    clean, words = find_words(prompt, names)
    assert clean == " and ".join(f"a {name}" for name in shuffled)
    assert [word.text for word in words] == names


@pytest.fixture(scope="module")
def tokenizer() -> object:
    return tiny.tokenizer()


@usual
@given(some.lists(some.sampled_from([*tiny.WORDS, "猫", "🐈", "unheard-of", "it's"]), max_size=30))
def test_a_subject_s_token_is_the_last_of_its_word(tokenizer: object, around: list[str]) -> None:
    prompt = " ".join([*around, "robot"])
    assume("robot" not in around)
    clean, words = find_words(prompt, ["robot"])
    try:
        tokens = tokenize(tokenizer, clean, words)  # type: ignore[arg-type]
    except PromptError:  # it comes too late
        assume(False)
    place = int(tokens.words[0, 0])
    assert tokenizer.decode(tokens.ids[0, place]).strip() == "robot"  # type: ignore[attr-defined]


# ---------------------------------------------------------------- photos

SIDES = some.integers(1, 300) | some.sampled_from([MAX_SIDE - 1, MAX_SIDE, MAX_SIDE + 1, 2500])
FORMATS = some.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"])
MODES = some.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "F"])


@usual
@given(SIDES, SIDES, MODES, some.integers(0, 255))
def test_any_picture_becomes_a_photo_or_is_refused(width: int, height: int, mode: str, value: int) -> None:
    image = Image.new("RGB", (width, height), (value, 255 - value, 7))
    for step in {"I;16": ("L", "I", "I;16"), "F": ("L", "F")}.get(mode, (mode,)):
        image = image.convert(step)
    if min(width, height) < MIN_SIDE:
        with pytest.raises(PhotoError, match=f"{width} x {height}"):
            load_photo(image)
        return
    photo = load_photo(image)
    assert photo.mode == "RGB"
    assert max(photo.size) == min(MAX_SIDE, max(width, height))
    kept = max(photo.size) / max(width, height)
    assert all(abs(new - max(old * kept, 1)) <= 1 for new, old in zip(photo.size, (width, height), strict=True))


@usual
@given(some.integers(8, 200), some.integers(8, 200), some.sampled_from([8, 32, 224]))
def test_a_prepared_photo_is_square_in_range_and_whole(width: int, height: int, side: int) -> None:
    pixels = prepare_photo(Image.new("RGB", (width, height), "white"), side)
    assert pixels.shape == (3, side, side)
    assert 0 <= float(pixels.min()) <= float(pixels.max()) <= 1
    share = min(width, height) / max(width, height)  # what is not photo is black
    assert abs(float(pixels.mean()) - share) < 2 / side + 0.02
    assert pad_to_square(Image.new("RGB", (width, height)), side).size == (side, side)


@usual
@given(
    some.binary(max_size=400), some.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"]), some.integers(0, 400)
)
def test_any_bytes_are_a_photo_or_refused_by_name(tmp_path: Path, data: bytes, kind: str, at: int) -> None:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((40, 30)).convert("RGB").save(buffer, kind)
    whole = buffer.getvalue()
    path = tmp_path / "photo.png"
    for broken in (data, whole[: at % len(whole)] + data, whole[:at] + data + whole[at:]):
        path.write_bytes(broken)
        said = _refusal(path)
        assert said is None or '"photo.png"' in said


def _refusal(path: Path) -> str | None:
    try:
        assert load_photo(path).mode == "RGB"
    except PhotoError as error:
        return str(error)
    return None


# ---------------------------------------------------------------- maps


@some.composite
def any_maps(draw: some.DrawFn) -> AttentionMaps:
    """Maps of any number of subjects, steps and layers of any size; image maps that share out at most 1 a pixel."""
    subjects, steps = draw(some.integers(1, 5)), draw(some.integers(1, 4))
    layers = draw(some.lists(some.tuples(some.integers(1, 17), some.integers(1, 17)), min_size=1, max_size=3))
    generator = torch.Generator().manual_seed(draw(some.integers(0, 99)))
    records = []
    for step in range(steps):
        for number, size in enumerate(layers):
            shared = torch.softmax(torch.randn(subjects + 1, *size, generator=generator), 0)[:subjects]
            kinds = {kind: shared.half() for kind in MAP_KINDS}
            records.append(StepMaps(step, f"layer {number}", size, kinds))
    return AttentionMaps(tuple(f"subject {i}" for i in range(subjects)), tuple(records))


@usual
@given(any_maps())
def test_averaged_maps_keep_shape_range_and_sum(maps: AttentionMaps) -> None:
    for kind in MAP_KINDS:
        own = [maps.at(i, kind) for i in range(len(maps.subjects))]
        assert {one.shape for one in own} == {maps.size}
        values = torch.cat([record.kinds[kind].flatten() for record in maps.records])
        assert all(float(values.min()) - 1e-3 <= one.min() <= one.max() <= float(values.max()) + 1e-3 for one in own)
        assert np.stack(own).sum(0).max() <= 1 + 5e-3  # subjects share out what there is


@usual
@given(any_maps(), some.integers(0, 3), some.integers(0, 2))
def test_the_mean_over_everything_is_the_mean_of_the_parts(maps: AttentionMaps, step: int, layer: int) -> None:
    steps, layers = maps.steps, list(maps.layers)
    by_step = np.mean([maps.at(0, "image", step=each) for each in steps], axis=0)
    assert np.allclose(by_step, maps.at(0, "image"), atol=1e-4)
    one = maps.at(0, "image", steps[step % len(steps)], layers[layer % len(layers)])
    assert one.shape == maps.layers[layers[layer % len(layers)]]


@few
@given(any_maps(), some.integers(1, 90), some.integers(1, 90))
def test_any_map_can_be_laid_over_any_picture(maps: AttentionMaps, width: int, height: int) -> None:
    laid = overlay(Image.new("RGB", (width, height), "gray"), maps.at(0, "text"), "#ff0000")
    assert laid.size == (width, height)


@few
@given(any_maps())
def test_written_maps_are_the_maps(tmp_path: Path, maps: AttentionMaps) -> None:
    maps.to_npz(tmp_path / "maps.npz")
    with np.load(tmp_path / "maps.npz", allow_pickle=False) as arrays:
        assert tuple(arrays["subjects"]) == maps.subjects
        for record in maps.records:
            written = arrays[f"image/{record.layer}"][maps.steps.index(record.step)]
            assert np.array_equal(written, record.kinds["image"].numpy())


# ---------------------------------------------------------------- checkpoints


@some.composite
def any_adapter(draw: some.DrawFn) -> MMDiffAdapter:
    """A random adapter of any small shape."""
    width = draw(some.sampled_from([8, 16]))
    layers = tuple(
        AttentionLayer(f"blocks.{i}.attn2", draw(some.sampled_from([8, 16])), width, 16, 2)
        for i in range(draw(some.integers(1, 3)))
    )
    config = AdapterConfig(
        cross_attention=layers,
        text_towers=(TextTower(width),),
        cls_width=draw(some.sampled_from([4, 12])),
        patch_width=draw(some.sampled_from([6, 10])),
        rank=draw(some.integers(1, 4)),
        tokens=draw(some.integers(1, 4)),
        refiner_depth=draw(some.integers(1, 2)),
        refiner_head_dim=8,
        null_token=draw(some.booleans()),
    )
    torch.manual_seed(draw(some.integers(0, 99)))
    return MMDiffAdapter(config)


@few
@given(any_adapter(), some.dictionaries(some.text(max_size=5), some.text(max_size=5), max_size=3))
def test_a_saved_adapter_comes_back_bit_for_bit(tmp_path: Path, adapter: MMDiffAdapter, extra: dict[str, str]) -> None:
    assume(not {"format", "config"} & extra.keys())
    save_adapter(adapter, tmp_path / "a.safetensors", extra)
    back = load_adapter(tmp_path / "a.safetensors")
    assert back.config == adapter.config
    assert back.state_dict().keys() == adapter.state_dict().keys()
    assert all(torch.equal(back.state_dict()[name], x) for name, x in adapter.state_dict().items())


@few
@given(any_adapter(), some.data())
def test_a_spoiled_adapter_is_refused(tmp_path: Path, adapter: MMDiffAdapter, data: some.DataObject) -> None:
    path = tmp_path / "a.safetensors"
    save_adapter(adapter, path)
    how = data.draw(some.sampled_from(["cut", "nan", "inf", "shape", "missing", "more"]))
    if how == "cut":
        path.write_bytes(path.read_bytes()[: data.draw(some.integers(0, path.stat().st_size - 1))])
    else:
        _spoil(path, how, data)
    with pytest.raises(CheckpointError):
        load_adapter(path)


def _spoil(path: Path, how: str, data: some.DataObject) -> None:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    name = data.draw(some.sampled_from(sorted(tensors)))
    if how in ("nan", "inf"):
        tensors[name].view(-1)[-1] = float(how)
    elif how == "shape":
        tensors[name] = torch.cat([tensors[name], tensors[name]])
    elif how == "missing":
        del tensors[name]
    else:
        tensors[f"{name}.more"] = torch.zeros(1)
    save_file(tensors, path, metadata)
