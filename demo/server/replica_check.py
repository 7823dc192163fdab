"""A check that the process keeps no state but its sessions', so that replicas can share a load balancer.

Two visitors make images over the served page, one after the other and at the same time. When they have gone,
everything must be as it was before they came, and the same request must have given the same image every time.
"""

from __future__ import annotations

import hashlib
import logging
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradio_client import Client, handle_file
from PIL import Image

from demo.server.sessions import Page, sweep_once
from mmdiff_core.backbones.base import Backbone
from mmdiff_core.toyworld.scenes.random_scenes import HELD_OUT, toy_photos
from mmdiff_core.toyworld.scenes.vocabulary import WHOLE_WORLD

if TYPE_CHECKING:
    from gradio.routes import App

    from demo.server.service import Service

logger = logging.getLogger("mmdiff")

OURS = ("demo", "mmdiff_core")
STEPS = 2
PLAIN_TYPES = (bool, int, float, str, bytes, type(None), tuple, frozenset)

Remembering = type(lru_cache(lambda: None))  # of functions that keep their answers


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    good: bool
    says: str


def check_replicas(page: Page, options: dict[str, Any]) -> int:
    """Log what was found; returns 0 where all is well, else 1, as a program's exit code.

    Args:
        page: built around the service that is checked.
        options: what the page is launched with.
    """
    found = list(findings(page, options))
    for each in found:
        logger.log(logging.INFO if each.good else logging.ERROR, "%s %s", "ok " if each.good else "NOT", each.says)
    return 0 if all(each.good for each in found) else 1


def findings(page: Page, options: dict[str, Any]) -> Iterator[Finding]:
    """Serve two visitors and compare what is left of them with what was there before."""
    service = page.service
    with tempfile.TemporaryDirectory() as name, _served(page, options) as (app, url):
        photo = _photo(service, Path(name))
        _Visitor(url, service, photo).picture(0)  # whatever is made at the first request only is made now
        _leave(page, app)
        before = _state(service)
        alone = _Visitor(url, service, photo)
        first, second = alone.picture(1), alone.picture(2)
        with ThreadPoolExecutor(2) as both:
            visitors = [_Visitor(url, service, photo) for _ in range(2)]
            mixed = list(both.map(lambda pair: pair[0].picture(pair[1]), zip(visitors, (1, 2), strict=True)))
        after = _state(service)
        yield Finding(mixed == [first, second], "a request gives the same picture alone and among others")
        for what in before:
            yield Finding(before[what] == after[what], f"{what}: as before the visitors")
        yield from _nobody_left(page, app)


def _nobody_left(page: Page, app: App) -> Iterator[Finding]:
    _leave(page, app)
    sessions, files = len(app.state_holder.session_data), len(page.sessions)
    yield Finding(sessions == files == 0, f"sessions: {sessions} are left of those who have gone")
    yield Finding(len(page._queue) == 0, f"the queue: {len(page._queue)} requests are left in it")
    claimed = page.sessions.claimed()
    yield Finding(not claimed, f"temporary files: {len(claimed)} are left of those who have gone")


class _Visitor:
    def __init__(self, url: str, service: Service, photo: Path) -> None:
        self.client, self.photo = Client(url, verbose=False), photo
        self.noun = _noun(service)

    def picture(self, seed: int) -> str:
        """A digest of the picture of that seed; a toy is asked for as well."""
        subject = {"name": self.noun, "photos": [handle_file(str(self.photo))]}
        asked: dict[str, Any] = {"prompt": f"a {self.noun}", "subjects": [subject], "seed": seed, "steps": STEPS}
        self.client.predict(self.noun, seed=HELD_OUT + seed, views=1, api_name="/toy")
        made = self.client.predict(**asked, api_name="/generate")
        with Image.open(made[0]["image"]) as image:
            return hashlib.sha256(image.tobytes()).hexdigest()


@contextmanager
def _served(page: Page, options: dict[str, Any]) -> Iterator[tuple[App, str]]:
    app, url, _ = page.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, **options)
    try:
        yield app, url
    finally:
        page.close(verbose=False)


def _leave(page: Page, app: App) -> None:
    """As if all had gone long ago."""
    page.sessions.expire_all()
    sweep_once(page.sessions, app)


def _noun(service: Service) -> str:
    known = getattr(service.backbone, "vocabulary", None) or WHOLE_WORLD
    return known.classes[0]


def _photo(service: Service, folder: Path) -> Path:
    path = folder / "photo.png"
    toy_photos(_noun(service), HELD_OUT, views=1)[0].save(path)
    return path


def _state(service: Service) -> Mapping[str, str]:
    """Digests of what lives in the process and belongs to nobody."""
    return {"the model's weights": _weights(service), "the model's settings": _settings(service), "modules": _globals()}


def _networks(service: Service) -> Iterator[Any]:
    backbone = service.backbone
    if isinstance(backbone, Backbone):
        parts = (backbone.unet, backbone.vae, *backbone.text_encoders, backbone.image_encoder, service.adapter)
        yield from (part for part in parts if part is not None)


def _weights(service: Service) -> str:
    digest = hashlib.sha256()
    for network in _networks(service):
        for name, tensor in network.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()


def _settings(service: Service) -> str:
    """What stands on every module of the networks beside tensors, and on their attention processors."""
    told = []
    for network in _networks(service):
        for name, module in network.named_modules():
            told.append((name, _plain(vars(module)), _plain(vars(getattr(module, "processor", object)))))
    return hashlib.sha256(repr(told).encode()).hexdigest()


def _globals() -> str:
    """What the modules of this project hold beside functions and classes, and in their classes."""
    told = []
    for name, module in sorted(sys.modules.items()):
        if name.split(".")[0] in OURS and name != __name__:
            told.append((name, _plain(vars(module)), _containers(vars(module))))
            classes = (each for each in vars(module).values() if isinstance(each, type) and each.__module__ == name)
            told += [(each.__qualname__, _plain(vars(each)), _containers(vars(each))) for each in classes]
    return hashlib.sha256(repr(told).encode()).hexdigest()


def _plain(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return sorted((name, repr(value)) for name, value in list(values.items()) if isinstance(value, PLAIN_TYPES))


def _containers(values: Mapping[str, Any]) -> list[tuple[str, int]]:
    """How much is in each, in the memories of functions as well (``lru_cache``)."""
    claimed = [(name, value) for name, value in list(values.items()) if not name.startswith("__")]
    sizes = [(name, len(value)) for name, value in claimed if isinstance(value, (dict, list, set))]
    remembering = ((name, value) for name, value in claimed if isinstance(value, Remembering) and _is_ours(value))
    return sorted([*sizes, *((name, value.cache_info().currsize) for name, value in remembering)])


def _is_ours(function: Any) -> bool:
    """The memories of Python and of libraries, such as that of addresses taken apart, are theirs to bound."""
    return function.__module__.split(".")[0] in OURS
