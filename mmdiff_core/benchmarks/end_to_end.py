"""The speed of everything but a single step and training: images, memory, start-up, loading, rendering."""

from __future__ import annotations

import random
import resource
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import torch

from mmdiff_core.backbones.toybox import FOLDER
from mmdiff_core.benchmarks.timing import Clock, Method, alternate, timed
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.toyworld.render.renderer import render
from mmdiff_core.toyworld.scenes.random_scenes import random_scene, toy_photos
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


def _prepare_nothing() -> None:
    """Do nothing."""
