"""The speed of everything but a single step: images, memory, start-up, loading, training, rendering."""

from __future__ import annotations

import random
import resource
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable

import torch
from torch import nn

from mmdiff_core.backbones.toybox import FOLDER, Toybox
from mmdiff_core.benchmarks.timing import Clock, Method, alternate, ratio, timed
from mmdiff_core.encoders.prompt import find_words, tokenize
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.nn.records import PromptTokens
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.toyworld.render.renderer import render
from mmdiff_core.toyworld.scenes.random_scenes import random_scene, toy_photos
from mmdiff_core.training.toybox.flow_matching import FlowMatchingBatch, FlowMatchingLoss
from mmdiff_core.training.toybox.recipes import LossWeights
from mmdiff_core.types import GenerateRequest, Subject
from mmdiff_core.weights.adapter_file import load_adapter

APP = FOLDER.parents[1] / "app.py"
TIMEOUT = 300.0  # seconds for the page to answer
PHOTO_SIDE = 64
MEGABYTE = 2**20


def two_subjects() -> GenerateRequest:
    """Return a request for a held-out cat and robot, at the defaults of the app."""
    names = ("cat", "robot")
    subjects = (Subject(name, tuple(toy_photos(name, 900_005, views=2, size=PHOTO_SIDE))) for name in names)
    return GenerateRequest("a cat next to a robot on the beach", tuple(subjects))


def image_times(personalizer: Personalizer, rounds: int, device: torch.device, clock: Clock) -> dict[str, list[float]]:
    """Return the seconds to the first preview and to the finished image of two subjects, at the app's defaults."""
    request = two_subjects()

    def first() -> None:
        next(personalizer.generate(request))

    def whole() -> None:
        for _ in personalizer.generate(request):
            pass

    both = {"first_preview_s": Method(_prepare_nothing, first), "picture_s": Method(_prepare_nothing, whole)}
    return alternate(both, rounds, device, clock)


def peak_memory_mb(personalizer: Personalizer, device: torch.device) -> float:
    """Return the peak memory of generating an image at the app's defaults: of the GPU, or of this whole process."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    for _ in personalizer.generate(two_subjects()):
        pass
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MEGABYTE
    unit = 1 if sys.platform == "darwin" else 1024  # what ru_maxrss counts in
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MEGABYTE


def adapter_load_s(rounds: int, device: torch.device, clock: Clock) -> list[float]:
    """Return the seconds to read the built-in adapter from its file."""
    return [timed(lambda: load_adapter(FOLDER / "adapter.safetensors"), device, clock) for _ in range(rounds)]


def startup_s(rounds: int) -> list[float]:
    """Return the seconds from ``python app.py`` to the page's first answer, after a first start that does not count."""
    return [_start_app() for _ in range(rounds + 1)][1:] if APP.is_file() else []


def _start_app() -> float:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = time.perf_counter()
    app = subprocess.Popen(
        [sys.executable, str(APP), "--port", str(port)],
        cwd=APP.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while time.perf_counter() - start < TIMEOUT and app.poll() is None:
            if _answers(f"http://127.0.0.1:{port}/"):
                return time.perf_counter() - start
            time.sleep(0.05)
        raise RuntimeError(f"{APP} did not serve its page within {TIMEOUT:.0f} seconds")
    finally:
        app.terminate()
        app.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def rendered_per_s(rounds: int, count: int, size: int, device: torch.device, clock: Clock) -> list[float]:
    """Return the scenes of the toy world that are rendered per second."""
    rng = random.Random(0)
    scenes = [random_scene(rng) for _ in range(count)]
    seconds = [timed(lambda: render(scenes, size, str(device)), device, clock) for _ in range(rounds + 1)]
    return [count / s for s in seconds[1:]]


# ---------------------------------------------------------------- training


def training_speed(
    backbone: Toybox, adapter: MMDiffAdapter, rounds: int, batch: int, clock: Clock
) -> dict[str, object]:
    """Return the samples per second of training the base and the adapter, and the ratio of the second to the first."""
    device = backbone.device
    steps = {name: _training_step(backbone, adapter, batch, name == "adapter") for name in ("base", "adapter")}
    samples = alternate({name: Method(_prepare_nothing, step) for name, step in steps.items()}, rounds, device, clock)
    over = ratio(samples["base"], samples["adapter"])  # samples per second are one over seconds
    return {
        "base_samples_per_s": [batch / s for s in samples["base"]],
        "adapter_samples_per_s": [batch / s for s in samples["adapter"]],
        "adapter_over_base": over.to_json(),
    }


def _training_step(backbone: Toybox, adapter: MMDiffAdapter, batch: int, photos: bool) -> Callable[[], None]:
    """Return a training step on random latents: of the base alone, or of the adapter on it."""
    network = FlowMatchingLoss(backbone, adapter, LossWeights(), photos)
    parts: tuple[nn.Module, ...] = (adapter,) if photos else (backbone.unet, backbone.text_encoders[0])
    trained = [parameter for part in parts for parameter in part.parameters()]
    everything = list(network.parameters())
    optimizer = torch.optim.AdamW(trained, lr=0.0)
    seen = _batch(backbone, batch, photos)

    def step() -> None:
        for parameter in everything:
            parameter.requires_grad_(False)
        for parameter in trained:
            parameter.requires_grad_(True)
        terms = network(seen)
        sum(terms.values(), torch.zeros((), device=backbone.device)).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def _batch(backbone: Toybox, batch: int, photos: bool) -> FlowMatchingBatch:
    width, height = backbone.sizes.default
    encoder = backbone.image_encoder
    assert encoder is not None  # the built-in model has one
    latents = torch.cat([backbone.noise(seed, width, height) for seed in range(batch)])
    tokens = tokenize(backbone.tokenizers[0], *find_words("a cat next to a robot on the beach", ["cat", "robot"]))
    device = backbone.device
    return FlowMatchingBatch(
        latents=latents,
        masks=torch.rand(batch, 2, *latents.shape[-2:], device=device),
        tokens=PromptTokens(tokens.ids.expand(batch, -1), tokens.words.expand(batch, -1)),
        references=torch.rand(batch, 2, 1, 3, encoder.size, encoder.size, device=device),
        photos=torch.full((batch, 2, 1), photos, device=device),
    )


def _prepare_nothing() -> None:
    """Do nothing."""
