"""A Personalizer without a model: coloured discs for subjects, and maps that follow them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from threading import Event

import torch
from PIL import Image, ImageDraw, ImageFilter

from demo.ui import build_ui, launch_options
from mmdiff_core.attention_maps import AttentionMaps, StepMaps
from mmdiff_core.encoders.prompt import find_words
from mmdiff_core.errors import SettingsError
from mmdiff_core.heatmap import colour_of
from mmdiff_core.toybox.vocabulary import FIRST_WORLD, Vocabulary
from mmdiff_core.types import STREAMS, GenerateRequest, Picture, Size, Step, Stream, Word

MAP_SIDE = 32
PATIENCE = 300  # seconds


@contextmanager
def served(stand_in: StandIn) -> Iterator[str]:
    """The whole page around a stand-in, at the URL that is yielded."""
    page = build_ui(stand_in)  # type: ignore[arg-type]
    _, url, _ = page.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, **launch_options())
    try:
        yield url
    finally:
        page.close(verbose=False)


@dataclass(frozen=True)
class Defaults:
    """As the real model has them."""

    steps: int = 6
    guidance: float = 3.0
    start_step: int = 1


@dataclass(frozen=True)
class Plan:
    """What the page reads of a real plan."""

    request: GenerateRequest
    prompt: str
    words: tuple[Word, ...]
    steps: int
    start_step: int
    size: tuple[int, int]


@dataclass(frozen=True)
class Backbone:
    """Named as the built-in model, so that the page shows what that one knows."""

    name: str = "toybox"
    vocabulary: Vocabulary = FIRST_WORLD


@dataclass
class StandIn:
    """Deterministic and quick. ``pause`` slows every step, ``held`` stops before one; ``log`` tells what happened."""

    pause: float = 0.0
    sizes: Size = field(default_factory=lambda: Size((256, 256), 128, 384, 64))
    defaults: Defaults = field(default_factory=Defaults)
    backbone: Backbone = field(default_factory=Backbone)
    log: list[str] = field(default_factory=list)
    go: Event = field(default_factory=Event)
    held_at: tuple[int, int] | None = None

    @contextmanager
    def held(self, picture: int, step: int) -> Iterator[None]:
        """Inside, work waits before that step of that picture (from 1); it goes on at the end, or with ``release``."""
        self.held_at = (picture, step)
        self.go.clear()
        try:
            yield
        finally:
            self.release()

    def release(self) -> None:
        """Let work go on."""
        self.held_at = None
        self.go.set()

    def validate(self, request: GenerateRequest) -> Plan:
        """The checks that the page's tests need, with the real prompt reading."""
        prompt, words = find_words(request.prompt, [subject.name for subject in request.subjects])
        steps = self.defaults.steps if request.steps is None else request.steps
        if not 1 <= steps <= 50:
            raise SettingsError(f"The number of steps must be from 1 to 50, but is {steps}.")
        start = self.defaults.start_step if request.start_step is None else request.start_step
        width, height = self.sizes.default
        size = (request.width or width, request.height or height)
        return Plan(request, prompt, words, steps, min(start, steps), size)

    def generate(self, request: GenerateRequest, photos: object = None) -> Iterator[Step]:
        """One disc per subject, sharper with every step."""
        return self._steps(self.validate(request))

    def _steps(self, plan: Plan) -> Iterator[Step]:
        pictures: tuple[Picture, ...] = ()
        seeds = plan.request.seeds
        self.log.append(f"start {seeds}")
        try:
            for index, seed in enumerate(seeds):
                maps = AttentionMaps(tuple(word.text for word in plan.words))
                for number in range(1, plan.steps + 1):
                    time.sleep(self.pause)
                    if (index + 1, number) == self.held_at:
                        assert self.go.wait(PATIENCE), "held and forgotten"
                    maps = _with_step(maps, plan, seed, number - 1)
                    image = _paint(plan, seed, blur=4 * (plan.steps - number))
                    done = (
                        Picture(image, seed, maps, plan.words, _settings(plan, seed)) if number == plan.steps else None
                    )
                    pictures = (*pictures, done) if done else pictures
                    last = pictures if len(pictures) == len(seeds) else None
                    preview = image.resize((MAP_SIDE, MAP_SIDE))
                    yield Step(index, len(seeds), number, plan.steps, preview, maps, done, last)
            self.log.append("finished")
        except GeneratorExit:
            self.log.append("cancelled")
            raise


def _settings(plan: Plan, seed: int) -> Mapping[str, object]:
    return {
        "model": "stand-in",
        "prompt": plan.request.prompt,
        "negative_prompt": plan.request.negative_prompt,
        "subjects": [
            {"name": subject.name, "strength": subject.strength, "photos": len(subject.photos)}
            for subject in plan.request.subjects
        ],
        "parts": asdict(plan.request.parts),
        "binding": plan.request.binding,
        "seed": seed,
        "steps": plan.steps,
        "guidance": plan.request.guidance or 3.0,
        "start_step": plan.start_step,
        "width": plan.size[0],
        "height": plan.size[1],
    }


def _centre(subject: int, count: int, seed: int) -> tuple[float, float]:
    """Where a disc is, in fractions of the picture."""
    return (subject + 0.5) / max(count, 1), 0.55 + 0.04 * ((seed + subject) % 4)


def _paint(plan: Plan, seed: int, blur: int) -> Image.Image:
    (width, height), count = plan.size, len(plan.words)
    sky = Image.linear_gradient("L").resize(plan.size)
    image = Image.merge(
        "RGB", (sky.point(lambda v: 120 + v // 3), sky.point(lambda v: 170 + v // 4), sky.point(lambda _: 215))
    )
    draw = ImageDraw.Draw(image)
    radius = 0.32 * width / max(count, 1)
    for subject in range(count):
        x, y = _centre(subject, count, seed)
        box = (x * width - radius, y * height - radius, x * width + radius, y * height + radius)
        draw.ellipse(box, fill=colour_of(subject + 2))
    return image.filter(ImageFilter.GaussianBlur(blur)) if blur else image


def _with_step(maps: AttentionMaps, plan: Plan, seed: int, step: int) -> AttentionMaps:
    """Blobs on the discs, narrower with every step; no image stream before the photos join."""
    w, h = plan.size[0] * MAP_SIDE // 256, plan.size[1] * MAP_SIDE // 256
    rows = torch.linspace(0, 1, h)[:, None]
    columns = torch.linspace(0, 1, w)[None, :]
    width = 0.3 - 0.2 * step / plan.steps
    count = len(plan.words)
    centres = [_centre(subject, count, seed) for subject in range(count)]
    blobs = torch.stack([torch.exp(-((columns - x) ** 2 + (rows - y) ** 2) / width**2) for x, y in centres])
    streams: dict[Stream, torch.Tensor] = {
        stream: blobs.half() * 0.4 for stream in STREAMS if stream == "text" or step >= plan.start_step
    }
    record = StepMaps(step, "mid_block", (h, w), streams)
    return AttentionMaps(maps.subjects, (*maps.records, record))
