"""Named endpoints for programs: what the page does, with explicit parameters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import gradio as gr

from demo.api.api_schema import add_endpoint
from demo.api.inputs import OPTIONAL_KEYS, PARTS, SubjectInput, read_settings, read_start, subject_forms
from demo.api.map_records import step_records
from demo.form.examples import render_toy, vocabulary_of
from demo.form.form import Form, Settings, StartPicture
from demo.form.value_types import check_types
from demo.server.error_messages import user_facing_errors
from demo.server.service import MODEL_QUEUE
from demo.server.sessions import claim
from demo.web.cached_files import photo_file, picture_file
from mmdiff_core.backbones.registry import AvailableModel, available_models
from mmdiff_core.encoders.name_matching import without_blank_edges
from mmdiff_core.errors import SettingsError
from mmdiff_core.results import GeneratedImage
from mmdiff_core.types import MAX_SEED

if TYPE_CHECKING:
    from demo.server.service import Service

MAX_VIEWS = 8


def register(service: Service) -> None:
    """Add ``/generate``, ``/attention``, ``/toy`` and ``/models`` to the page that is being built.

    The functions' names and docstrings are also the names and descriptions of the MCP tools.
    """

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
        sampler: str | None = None,
        binding: float = 0.0,
        without: list[str] | None = None,
        clip_skip: int = 0,
        guidance_rescale: float = 0.0,
        balance_photos: bool = False,
        image: gr.FileData | None = None,
        image_strength: float | None = None,
    ) -> Iterator[list[dict[str, Any]]]:
        """Make pictures of the subjects in the photos.

        Args:
            prompt: What the picture shows; every subject is named in it. (word:1.3) counts more, [word] less.
            subjects: [{"name": "cat", "photos": [file]}]; a file is an upload, a URL from toy, or a data: URL.
            negative_prompt: What the picture should not show.
            seed: The first picture's seed; the following pictures take the following seeds.
            pictures: How many pictures, 1 to 4.
            steps: Denoising steps; the model's default where it is null.
            guidance: How closely the image follows the prompt; the model's default where it is null.
            start_step: Steps of plain text before the photos join; the model's default where it is null.
            width: Width in pixels; the model's default where it is null.
            height: Height in pixels; the model's default where it is null.
            sampler: dpm++, unipc, ddim or sde; not on Toybox also euler, euler-a, heun, lcm, dpm++-karras and
                sde-karras; the model's own where it is null. unipc needs the fewest steps.
            binding: 0 to 1; above 0 each subject's photos count only where its word is seen, which costs likeness.
            without: Parts of the method to switch off: vision_text, refiner, image_branch, null_token.
            clip_skip: How many of the text encoder's last layers to leave out.
            guidance_rescale: 0 to 1; takes back the contrast that guidance adds.
            balance_photos: Whether a subject with many photos counts no more than one with few.
            image: A picture to start from, a file as in subjects; what does not fit the size is cut off.
            image_strength: How much of that picture may change, above 0 and up to 1; 0.6 where it is null.

        Returns:
            The finished pictures, after every step:
            {"image": file, "seed": number, "settings": everything needed to make it again}.
        """
        settings = read_settings(
            prompt=prompt, negative_prompt=negative_prompt, seed=seed, pictures=pictures, steps=steps,
            guidance=guidance, start_step=start_step, width=width, height=height, sampler=sampler, binding=binding,
            clip_skip=clip_skip, guidance_rescale=guidance_rescale, balance_photos=balance_photos, without=without,
        )  # fmt: skip
        start = read_start(image, image_strength)
        for finished in _pictures(service, prompt, subjects, settings, start):
            with user_facing_errors():
                records = [picture_record(picture) for picture in finished]
            yield records

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
        sampler: str | None = None,
        binding: float = 0.0,
        without: list[str] | None = None,
        clip_skip: int = 0,
        guidance_rescale: float = 0.0,
        balance_photos: bool = False,
        image: gr.FileData | None = None,
        image_strength: float | None = None,
    ) -> Iterator[dict[str, Any] | None]:
        """Make one picture and return its heatmaps: where in the picture the model put each subject.

        Args:
            prompt: What the picture shows; every subject is named in it.
            subjects: As generate takes them.
            negative_prompt: What the picture should not show.
            seed: The picture's seed.
            steps: Denoising steps; the model's default where it is null.
            guidance: How closely the image follows the prompt; the model's default where it is null.
            start_step: Steps of plain text before the photos join; the model's default where it is null.
            width: Width in pixels; the model's default where it is null.
            height: Height in pixels; the model's default where it is null.
            sampler: As generate takes it.
            binding: As generate takes it.
            clip_skip: As generate takes it.
            guidance_rescale: As generate takes it.
            balance_photos: As generate takes it.
            image: As generate takes it.
            image_strength: As generate takes it.
            without: As generate takes it.

        Returns:
            Nothing until the last step; then the picture's record with "subjects", their words, and "maps": for each
            step and kind of map (text, image, influence) one {"h", "w", "lo", "hi", "data"} per subject; data holds
            h * w bytes in base64, row by row, where 0 stands for lo and 255 for hi.
        """
        settings = read_settings(
            prompt=prompt, negative_prompt=negative_prompt, seed=seed, steps=steps, guidance=guidance,
            start_step=start_step, width=width, height=height, sampler=sampler, binding=binding, clip_skip=clip_skip,
            guidance_rescale=guidance_rescale, balance_photos=balance_photos, without=without,
        )  # fmt: skip
        start = read_start(image, image_strength)
        for finished in _pictures(service, prompt, subjects, settings, start):
            with user_facing_errors():
                record = _attention_record(finished[0]) if finished else None
            yield record

    def toy(noun: str, seed: int = 900_000, views: int = 3) -> list[dict[str, Any]]:
        """Make photos of a rendered toy, each from another side and in another place: a subject to try things with.

        Args:
            noun: The kind of toy, such as cat or robot.
            seed: Which one; seeds from 900000 on were never used in training.
            views: How many photos, 1 to 8.

        Returns:
            The photos, files that generate and attention take.
        """
        with user_facing_errors():
            check_types({"noun": noun, "seed": seed, "views": views})
            if not 1 <= views <= MAX_VIEWS:
                raise SettingsError(f"The number of views must be from 1 to {MAX_VIEWS}.")
            if not 0 <= seed <= MAX_SEED:
                raise SettingsError(f"The seed must be from 0 to {MAX_SEED}.")
            photos = render_toy(noun, int(seed), int(views)).photos
            return [dict(photo_file(photo, f"{noun}-{seed}-{i + 1}.png")) for i, photo in enumerate(photos)]

    def models() -> dict[str, Any]:
        """Describe the loaded model, and the models that this machine could load instead.

        Returns:
            {"loaded": {"name", "sizes", "defaults", "samplers", "parts", "knows"}, "available": [{"name", "title",
            "where", "present", "how_to_get"}, ...]}; "knows" lists nouns, places and styles, or is null for a model of
            the real world.
        """
        return {
            "loaded": _loaded_record(service),
            "available": [_available_record(model) for model in available_models()],
        }

    add_endpoint(generate, OPTIONAL_KEYS, concurrency_limit=1, concurrency_id=MODEL_QUEUE)
    add_endpoint(attention, OPTIONAL_KEYS, concurrency_limit=1, concurrency_id=MODEL_QUEUE)
    add_endpoint(toy)
    add_endpoint(models)


def _pictures(
    service: Service, prompt: str, subjects: list[SubjectInput], settings: Settings, start: StartPicture | None
) -> Iterator[tuple[GeneratedImage, ...]]:
    """Yield the finished pictures before the first step and after each, so that a client that leaves stops the work."""
    done: tuple[GeneratedImage, ...] = ()
    yield done
    with user_facing_errors():
        form = Form(without_blank_edges(prompt), subject_forms(subjects), settings, start=start)
        claim(*(photo for subject in form.subjects for photo in subject.photos))
        with closing(service.generate(form.request(service.limits, service.photo_files))) as steps:  # type: ignore[type-var]
            for step in steps:
                done = (*done, step.finished) if step.finished else done
                yield done


def picture_record(picture: GeneratedImage) -> dict[str, Any]:
    """Describe a finished picture, with its file."""
    return {"image": picture_file(picture), "seed": picture.seed, "settings": dict(picture.settings)}


def _attention_record(picture: GeneratedImage) -> dict[str, Any]:
    maps = picture.maps
    packed = [step_records(maps, step) for step in maps.steps] if maps else []
    return picture_record(picture) | {"subjects": [word.text for word in picture.words], "maps": packed}


def _loaded_record(service: Service) -> dict[str, Any]:
    known = vocabulary_of(service.backbone)
    return {
        "name": service.backbone.display_name,
        "sizes": asdict(service.sizes),
        "defaults": asdict(service.defaults),
        "samplers": list(service.backbone.schedulers),
        "parts": list(PARTS),
        "knows": None if known is None else known.to_json(),
    }


def _available_record(model: AvailableModel) -> dict[str, Any]:
    return {
        "name": model.key,
        "title": model.title,
        "where": model.where,
        "present": model.present,
        "how_to_get": model.how_to_get,
    }
