"""What is wrong with a request is named before any work; what it leaves open is decided."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest

from mmdiff_core.backbones.base import Defaults
from mmdiff_core.errors import MMDiffError, ModelError, PhotoError, PromptError, SettingsError
from mmdiff_core.generation.request_plan import decide_numbers, describe_choices
from mmdiff_core.generation.sampling import SampleSettings
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.types import Components, Face, FaceChoice, GenerateRequest, Recording, Size, Subject
from tests.helpers import tiny

CAT, ROBOT = tiny.cat_and_robot()
REQUEST = GenerateRequest(
    prompt="a cat next to a robot on the beach",
    subjects=(CAT, ROBOT),
    negative_prompt="snow",
    seeds=(5,),
    steps=4,
    guidance=4.0,
    start_step=1,
)


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def personalizer(request: pytest.FixtureRequest) -> Personalizer:
    folder: Path = request.getfixturevalue(request.param)
    return Personalizer.load(folder, folder / "adapter.safetensors")


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def stock(request: pytest.FixtureRequest) -> Personalizer:
    """The same models without an adapter."""
    return Personalizer.load(request.getfixturevalue(request.param))


@pytest.fixture(scope="module")
def face_model(personalizer: Personalizer) -> Personalizer:
    """The same model with an adapter that reads faces."""
    adapter = copy.copy(personalizer.adapter)
    adapter.config = replace(adapter.config, source="face")
    return Personalizer(personalizer.backbone, adapter)


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"prompt": ""}, PromptError, "prompt is empty"),
        ({"prompt": "a cat on the beach"}, PromptError, '"robot" is not in the prompt "a cat on the beach"'),
        ({"prompt": "a " * 600 + "cat and robot"}, PromptError, '"cat" comes too late'),
        ({"subjects": (Subject("cat", ()),)}, PhotoError, '"cat" has no photo'),
        ({"subjects": (Subject("cat", (tiny.photo(0, (4, 4)),)),)}, PhotoError, 'The photo "1 of cat" is only 4 x 4'),
        ({"subjects": (Subject("cat", (tiny.photo(0),), scale=9.0),)}, SettingsError, 'scale of "cat".*0 to 3'),
        ({"subjects": (Subject("cat", (tiny.photo(0),), scale=float("nan")),)}, SettingsError, "nan"),
        ({"steps": 0}, SettingsError, "number of steps must be from 1 to 200, but is 0"),
        ({"guidance": -1.0}, SettingsError, "guidance must be from 0 to 30"),
        ({"steps": 201}, SettingsError, "number of steps must be from 1 to 200, but is 201"),
        ({"start_step": 5}, SettingsError, "start step must be from 0 to 4, but is 5"),
        ({"width": 8}, SettingsError, "width must be from 16 to 128, but is 8"),
        ({"height": 33}, SettingsError, "height must be a multiple of 2 pixels, but is 33"),
        ({"guidance_rescale": 1.5}, SettingsError, "guidance rescale must be from 0 to 1, but is 1.5"),
        ({"clip_skip": 3}, SettingsError, "clip skip must be from 0 to [12], but is 3"),
        ({"scheduler": "lcm", "steps": 51}, SettingsError, "cannot make 51 steps: take fewer"),
        ({"prompt": "a (cat:11) and a robot"}, PromptError, 'weight "11" in the prompt must be from 0 to 10'),
        ({"guidance": float("inf")}, SettingsError, "guidance must be from 0 to 30, but is inf"),
        ({"word_gating": 1.5}, SettingsError, "must be from 0 to 1, but is 1.5"),
        ({"width": 256}, SettingsError, "width must be from 16 to 128, but is 256"),
        ({"scheduler": "magic"}, SettingsError, '"magic": choose one of'),
        ({"seeds": ()}, SettingsError, "no seed"),
        ({"seeds": (1, -4)}, SettingsError, "seed must be from 0 .* but is -4"),
    ],
)
def test_a_bad_request_is_refused_before_any_work(
    personalizer: Personalizer, changes: dict[str, object], error: type[MMDiffError], message: str
) -> None:
    with pytest.raises(error, match=message):
        personalizer.generate(replace(REQUEST, **changes))


def test_a_face_adapter_wants_faces(face_model: Personalizer) -> None:
    with pytest.raises(
        (PhotoError, ModelError), match=r"face embeddings|reads faces"
    ):  # without the extra, and with it
        face_model.plan(REQUEST)


def test_subjects_need_an_adapter(stock: Personalizer) -> None:
    with pytest.raises(ModelError, match="without an adapter"):
        stock.generate(REQUEST)


def test_defaults_are_the_models_and_the_adapters(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("delayed")
    tiny.save_model("sd", folder, start_step=7)
    personalizer = Personalizer.load(folder, folder / "adapter.safetensors")
    assert (personalizer.defaults.steps, personalizer.defaults.start_step) == (30, 7)
    numbers = personalizer.plan(GenerateRequest("a beach")).numbers
    assert (numbers.steps, numbers.guidance, numbers.start_step) == (30, 7.5, 7)
    assert personalizer.plan(GenerateRequest("a beach", steps=3)).numbers.start_step == 3
    assert (numbers.width, numbers.height) == personalizer.sizes.default == (32, 32)


# ---------------------------------------------------------------- what is decided


def test_open_numbers_are_filled_in() -> None:
    defaults, sizes = Defaults(steps=30, guidance=7.5, start_step=10), Size((48, 32), 16, 128, 8)
    filled = decide_numbers(GenerateRequest("a beach", seeds=(3, 4)), defaults, sizes)
    assert filled == SampleSettings(3, 30, 7.5, 10, 48, 32)
    few = decide_numbers(GenerateRequest("a beach", steps=6, guidance=0, height=64), defaults, sizes)
    assert few == SampleSettings(0, 6, 0, 6, 48, 64), "the delay ends with the steps"


@pytest.mark.parametrize(("guidance", "guided"), [(0.5, False), (1.0, False), (1.5, True)])
def test_only_guidance_above_one_needs_the_negative_prompt(
    personalizer: Personalizer, guidance: float, guided: bool
) -> None:
    plan = personalizer.plan(replace(REQUEST, guidance=guidance, negative_prompt=None))
    assert (plan.negative is not None) is guided
    assert plan.request.negative_prompt == ""


def test_the_plan_knows_the_subjects_and_brings_photos_to_rgb(personalizer: Personalizer) -> None:
    grey = Subject("robot", (ROBOT.photos[0].convert("L"),))
    plan = personalizer.plan(replace(REQUEST, subjects=(CAT, grey)))
    assert plan.names == ("cat", "robot")
    assert plan.no_maps.subjects == ("cat", "robot")
    assert [photo.mode for subject in plan.subjects for photo in subject.photos] == ["RGB"] * 3
    assert len(plan.tokens) == len(personalizer.backbone.tokenizers)


def test_nothing_is_recorded_where_no_photo_enters(personalizer: Personalizer) -> None:
    assert personalizer.plan(REQUEST).recording == Recording()
    for changes in (
        {"subjects": ()},
        {"components": Components(vision_text=False, image_branch=False)},
        {"recording": None},
    ):
        assert personalizer.plan(replace(REQUEST, **changes)).recording is None
    words = personalizer.plan(replace(REQUEST, subjects=(), recording=Recording(words=True)))
    assert words.recording.kinds == ()
    assert len(words.recording.tokens) == 9


def test_other_words_are_recorded_on_request(personalizer: Personalizer) -> None:
    plan = personalizer.plan(replace(REQUEST, recording=Recording(words=True)))
    assert [word.text for word in plan.others] == ["a", "next", "to", "a", "on", "the", "beach"]
    assert plan.recording.tokens == ((1,), (3,), (4,), (5,), (7,), (8,), (9,))
    assert personalizer.plan(REQUEST).others == {}


def test_heads_are_recorded_apart_in_a_new_plan(personalizer: Personalizer) -> None:
    plan = personalizer.plan(REQUEST)
    assert plan.with_heads(True).recording == Recording(per_head=True)
    assert plan.with_heads(True).with_heads(False).request == plan.request
    assert plan.recording.per_head is False, "the first plan stays as it was"
    unrecorded = personalizer.plan(replace(REQUEST, recording=None))
    assert unrecorded.with_heads(True) is unrecorded


# ---------------------------------------------------------------- faces


def test_a_choice_of_faces_needs_a_face_adapter(personalizer: Personalizer) -> None:
    chosen = replace(ROBOT, choices=(FaceChoice(2),))
    with pytest.raises(SettingsError, match='reads no faces: leave the choice of faces of "robot" out'):
        personalizer.plan(replace(REQUEST, subjects=(CAT, chosen)))


@pytest.mark.parametrize("embedding", [(0.5,) * 3, (float("nan"),) * 512])
def test_a_face_embedding_must_be_512_finite_numbers(face_model: Personalizer, embedding: tuple[float, ...]) -> None:
    subject = replace(ROBOT, faces=(Face(embedding, tiny.photo(4)),))
    with pytest.raises(PhotoError, match='face embedding of "robot" is not 512 finite numbers'):
        face_model.plan(replace(REQUEST, prompt="a robot", subjects=(subject,)))


def test_choices_are_described_by_number_and_weight() -> None:
    chosen = replace(CAT, choices=(FaceChoice(2, 0.5), FaceChoice()))
    assert describe_choices(chosen) == [[2, 0.5], [0, 1.0]]
