"""The endpoint that inspects a prompt: a picture without photos, and where it looks at each word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import gradio as gr

from demo.api.api_schema import add_endpoint
from demo.api.endpoints import picture_record
from demo.api.inputs import read_settings, read_start
from demo.api.map_records import map_record
from demo.form.form import Form
from demo.form.value_types import check_types
from demo.server.error_messages import user_facing_errors
from demo.server.service import MODEL_QUEUE
from demo.viewer.history import token_scale
from mmdiff_core.encoders.name_matching import without_blank_edges
from mmdiff_core.inspection.token_collector import TokenRecording
from mmdiff_core.inspection.token_maps import Scale, TokenMaps

if TYPE_CHECKING:
    from demo.server.service import Service

SPECIAL = ("<start>", "<end>", "<padding>", "<rest>")


def register(service: Service) -> None:
    """Add ``/inspect`` to the page that is being built; see :func:`demo.api.endpoints.register`."""

    def inspect(
        prompt: str,
        words: list[str] | None = None,
        concepts: list[str] | None = None,
        scale: str = "share",
        negative_prompt: str = "",
        seed: int = 0,
        steps: int | None = None,
        guidance: float | None = None,
        width: int | None = None,
        height: int | None = None,
        sampler: str | None = None,
        without: list[str] | None = None,
        clip_skip: int = 0,
        guidance_rescale: float = 0.0,
        image: gr.FileData | None = None,
        image_strength: float | None = None,
    ) -> Iterator[dict[str, Any] | None]:
        """Make a picture of a prompt without photos, and return where it looks at each word.

        Args:
            prompt: What the picture shows.
            words: Words of the prompt to return; every word, start, end, padding and the rest where it is null.
            concepts: Words that are not in the prompt, 8 at most. The picture stays the same.
            scale: share of the attention, among_words, contrast to the mean of the words, or z for standard deviations.
            negative_prompt: What the picture should not show.
            seed: The picture's seed.
            steps: Denoising steps; the model's default where it is null.
            guidance: How closely the image follows the prompt; the model's default where it is null.
            width: Width in pixels; the model's default where it is null.
            height: Height in pixels; the model's default where it is null.
            sampler: As generate takes it.
            without: As generate takes it; vision_text and image_branch together give the plain model.
            clip_skip: As generate takes it.
            guidance_rescale: As generate takes it.
            image: As generate takes it.
            image_strength: As generate takes it.

        Returns:
            Nothing until the last step; then the picture's record with "maps": for each word and concept
            {"h", "w", "lo", "hi", "data"}, averaged over steps, layers and heads; data holds h * w bytes in base64,
            row by row, where 0 stands for lo and 255 for hi. "dropped" says in a sentence what memory did not allow.
        """
        with user_facing_errors():
            check_types({"words": words, "concepts": concepts, "scale": scale})
            chosen = token_scale(scale)
        settings = read_settings(
            prompt=prompt, negative_prompt=negative_prompt, seed=seed, steps=steps, guidance=guidance, width=width,
            height=height, sampler=sampler, without=without, clip_skip=clip_skip, guidance_rescale=guidance_rescale,
        )  # fmt: skip
        start = read_start(image, image_strength)
        yield None  # before any work, so that a client that leaves stops it
        with user_facing_errors():
            form = Form(
                without_blank_edges(prompt), (), settings, start=start, inspected=True, concepts=tuple(concepts or ())
            )
            plan = service.plan(form.request(service.limits, service.photo_files))
            tokens = TokenRecording(words, form.concepts)
            service.check_tokens(plan, tokens)
            with closing(service.inspect(plan, tokens)) as inspected:  # type: ignore[type-var]
                for step in inspected:
                    finished = step.step.finished
                    maps = {} if finished is None else _maps_record(step.tokens, words, chosen)
                    yield None if finished is None else picture_record(finished) | maps

    add_endpoint(inspect, concurrency_limit=1, concurrency_id=MODEL_QUEUE)


def _maps_record(tokens: TokenMaps, words: Sequence[str] | None, scale: Scale) -> dict[str, Any]:
    names = tokens.names | {name: name for name in SPECIAL if tokens.table.rows_of(name)}
    if words is not None:
        names = {name: name for name in (*words, *tokens.concepts)}
    maps = {label: map_record(tokens.at(name, scale=scale)) for label, name in names.items()}
    return {"maps": maps, "dropped": tokens.dropped}
