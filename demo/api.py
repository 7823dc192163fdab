"""Named endpoints for programs: the same line as the page, with explicit parameters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import gradio as gr
from gradio_client.utils import is_file_obj_with_meta

from demo.examples import photograph
from demo.files import photo_file, picture_file
from demo.form import Form, Settings, SubjectForm
from demo.guests import hold
from demo.handlers import GPU
from demo.limits import limits_of
from demo.packing import pack_step
from demo.spoken import spoken
from mmdiff_core.errors import PhotoError, SettingsError
from mmdiff_core.types import FaceChoice, Picture

if TYPE_CHECKING:
    from mmdiff_core.pipeline import Personalizer

MOST_VIEWS = 8


class SubjectInput(TypedDict):
    """A subject as a program hands it over; ``photos`` are uploaded files, ``handle_file(path)`` in Python.

    For adapters that read faces: which face of each photo, from the left (0: the largest), and how much each counts.
    """

    name: str
    photos: list[gr.FileData]
    strength: NotRequired[float]
    faces: NotRequired[list[int]]
    mix: NotRequired[list[float]]


def register(personalizer: Personalizer) -> None:
    """Add ``/generate``, ``/attention`` and ``/toy`` to the page that is being built."""

    def generate(
        prompt: str,
        subjects: list[SubjectInput],
        negative_prompt: str = "",
        seed: int = 0,
        pictures: int = 1,
        steps: int | None = None,
        guidance: float | None = None,
        start_step: int | None = None,
        width: int | None = None,
        height: int | None = None,
    ) -> Iterator[list[dict[str, Any]]]:
        """Make pictures of the subjects in the photos.

        Args:
            prompt: What the picture shows; every subject is named in it.
            subjects: [{"name": "cat", "photos": [file, ...], "strength": 1.0}, ...], the photos as uploaded files.
            negative_prompt: What the picture should not show.
            seed: The first picture's seed; the following pictures take the following seeds.
            pictures: How many pictures, 1 to 4.
            steps: Denoising steps; the model's default where it is null.
            guidance: How strictly the prompt is followed; the model's default where it is null.
            start_step: Steps of plain text before the photos join; the model's default where it is null.
            width: Width in pixels; the model's default where it is null.
            height: Height in pixels; the model's default where it is null.

        Returns:
            The finished pictures, after every step:
            {"image": file, "seed": number, "settings": everything needed to make it again}.
        """
        settings = Settings(seed, pictures, steps, guidance, start_step, width, height, negative_prompt.strip())
        for finished in _pictures(personalizer, prompt, subjects, settings):
            yield [_described(picture) for picture in finished]

    def attention(
        prompt: str,
        subjects: list[SubjectInput],
        negative_prompt: str = "",
        seed: int = 0,
        steps: int | None = None,
        guidance: float | None = None,
        start_step: int | None = None,
        width: int | None = None,
        height: int | None = None,
    ) -> Iterator[dict[str, Any] | None]:
        """Make one picture and hand over its heatmaps.

        The parameters are those of ``generate``.

        Returns:
            Nothing until the last step; then the picture's record with "subjects", their words, and "maps": for each
            step and kind of map (text, image, influence) one {"h", "w", "lo", "hi", "data"} per subject; data holds
            h * w bytes in base64, row by row, where 0 stands for lo and 255 for hi.
        """
        settings = Settings(seed, 1, steps, guidance, start_step, width, height, negative_prompt.strip())
        for finished in _pictures(personalizer, prompt, subjects, settings):
            yield _with_maps(finished[0]) if finished else None

    def toy(noun: str, seed: int = 900_000, views: int = 3) -> list[dict[str, Any]]:
        """Photos of a rendered toy, each from another side and in another place.

        Args:
            noun: The kind of toy, such as cat or robot.
            seed: Which one; seeds from 900000 on were never used in training.
            views: How many photos, 1 to 8.
        """
        with spoken():
            if not 1 <= views <= MOST_VIEWS:
                raise SettingsError(f"The number of views must be from 1 to {MOST_VIEWS}.")
            photos = photograph(noun, seed, views).photos
        return [photo_file(photo, f"{noun}-{seed}-{i + 1}.png") for i, photo in enumerate(photos)]

    gr.api(generate, concurrency_limit=1, concurrency_id=GPU)
    gr.api(attention, concurrency_limit=1, concurrency_id=GPU)
    gr.api(toy)


def _pictures(
    personalizer: Personalizer, prompt: str, subjects: list[SubjectInput], settings: Settings
) -> Iterator[tuple[Picture, ...]]:
    """The finished pictures, before the first step and after each: a client that leaves stops the work at the next."""
    done: tuple[Picture, ...] = ()
    yield done
    with spoken():
        form = Form(prompt.strip(), _read(subjects), settings)
        hold(*(photo for subject in form.subjects for photo in subject.photos))
        with closing(personalizer.generate(form.request(limits_of(personalizer)))) as steps:  # type: ignore[type-var]
            for step in steps:
                done = (*done, step.picture) if step.picture else done
                yield done


def _subject(slot: int, given: SubjectInput) -> SubjectForm:
    photos = tuple(_uploaded(photo, given["name"]) for photo in given["photos"])
    return SubjectForm(slot, given["name"].strip(), photos, given.get("strength", 1.0), faces=_choices(given))


def _choices(given: SubjectInput) -> tuple[FaceChoice, ...]:
    """One choice per photo where the program says anything about faces."""
    count = len(given["photos"])
    if "faces" not in given and "mix" not in given:
        return ()
    faces, mix = given.get("faces", [0] * count), given.get("mix", [1.0] * count)
    if not len(faces) == len(mix) == count:
        raise SettingsError(f'"{given["name"]}" has {count} photo(s): give as many numbers in "faces" and in "mix".')
    return tuple(FaceChoice(face or None, weight) for face, weight in zip(faces, mix, strict=True))


def _read(subjects: Any) -> tuple[SubjectForm, ...]:
    """Subjects as a program wrote them, whose layout nobody has checked."""
    if not isinstance(subjects, list) or not all(map(_well_formed, subjects)):
        raise SettingsError(
            'The subjects must be a list of {"name": text, "photos": [uploaded files], "strength": number}.'
        )
    return tuple(_subject(i, given) for i, given in enumerate(subjects))


def _well_formed(given: Any) -> bool:
    if not isinstance(given, dict):
        return False
    strength = given.get("strength", 1.0)
    return (
        isinstance(given.get("name"), str)
        and isinstance(given.get("photos"), list)
        and isinstance(strength, int | float)
        and not isinstance(strength, bool)
    )


def _uploaded(photo: Any, name: str) -> str:
    """The path of an uploaded file. Gradio has checked those that are marked as files; nothing else is opened."""
    if not is_file_obj_with_meta(photo):
        raise PhotoError(f'A photo of "{name}" is not an uploaded file: upload it, with handle_file(path) in Python.')
    return photo["path"]


def _described(picture: Picture) -> dict[str, Any]:
    return {"image": picture_file(picture), "seed": picture.seed, "settings": dict(picture.settings)}


def _with_maps(picture: Picture) -> dict[str, Any]:
    maps = picture.maps
    packed = [pack_step(maps, step) for step in maps.steps] if maps else []
    return _described(picture) | {"subjects": [word.text for word in picture.words], "maps": packed}
