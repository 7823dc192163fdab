"""The model flags as environment variables, for hosts that start the app without flags, such as a Space.

On a Space a name on the hub that a variable gives is fetched at the start: who sets the variable there asks for it.
"""

from __future__ import annotations

import argparse
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from mmdiff_core.cli.model_flags import OFFLOADING, PRECISIONS
from mmdiff_core.errors import CheckpointError, ModelError

logger = logging.getLogger("mmdiff")

VARIABLES = {
    "MMDIFF_MODEL": "--model",
    "MMDIFF_BASE": "--base",
    "MMDIFF_ADAPTER": "--adapter",
    "MMDIFF_IMAGE_ENCODER": "--image-encoder",
    "MMDIFF_DEVICE": "--device",
    "MMDIFF_DTYPE": "--dtype",
    "MMDIFF_OFFLOAD": "--offload",
}
SWITCH, SWITCHED = "MMDIFF_TEXT_ENCODER_2_LORA", "--text-encoder-2-lora"
CHOICES = {"MMDIFF_DTYPE": PRECISIONS, "MMDIFF_OFFLOAD": OFFLOADING}
WHICH = ("--model", "--base")  # either of them overrides both variables
DESCRIPTION = "Also as environment variables: " + ", ".join((*VARIABLES, f"{SWITCH}=1")) + "; a flag wins."
TELL_EVERY_S = 15.0


def with_variables(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the arguments with those of the variables before them, where no flag says otherwise.

    Raises:
        ArgumentTypeError: a variable has a value that is none of its choices.
    """
    added = []
    for variable, flag in VARIABLES.items():
        value = environment.get(variable)
        if not value or any(_is_given(each, arguments) for each in (WHICH if flag in WHICH else (flag,))):
            continue
        if value not in CHOICES.get(variable, (value,)):
            raise argparse.ArgumentTypeError(
                f'{variable} must be one of {", ".join(CHOICES[variable])}, but is "{value}"'
            )
        added.append(f"{flag}={value}")
    if environment.get(SWITCH, "").lower() in ("1", "true", "yes"):
        added.append(SWITCHED)
    return [*added, *arguments]


def _is_given(flag: str, arguments: Sequence[str]) -> bool:
    """Whether a flag is among the arguments, perhaps shortened as argparse allows."""
    words = (word.split("=")[0] for word in arguments)
    return any(len(word) > 2 and flag.startswith(word) for word in words)


def fetch_models(flags: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> None:
    """On a Space, fetch what the variables name on the hub, unless it is here; the log tells how it goes.

    Raises:
        ModelError, CheckpointError: it cannot be fetched; the message says what to do.
    """
    if "SPACE_ID" not in environment:
        return
    from mmdiff_core.weights.hub import download_model

    parts = {"MMDIFF_BASE": _fetch_base, "MMDIFF_ADAPTER": _fetch_adapter, "MMDIFF_IMAGE_ENCODER": download_model}
    for variable, fetch in parts.items():
        name = str(getattr(flags, variable.removeprefix("MMDIFF_").lower()) or "")
        if name and environment.get(variable) == name and not _is_here(variable, name):
            with _told(name):
                fetch(name)


def _is_here(variable: str, name: str) -> bool:
    from mmdiff_core.backbones.single_file.checkpoint import find_file
    from mmdiff_core.weights.hub import find_folder
    from mmdiff_core.weights.hub_adapters import find_adapter, image_encoder_for

    if Path(name).exists():
        return True
    try:
        if variable == "MMDIFF_BASE":
            return bool(find_file(name) or find_folder(name))
        if variable == "MMDIFF_IMAGE_ENCODER":
            return bool(find_folder(name, "config.json"))
        encoder = find_adapter(name) and image_encoder_for(name)
        return encoder is None or bool(find_folder(encoder, "config.json"))
    except (ModelError, CheckpointError):
        return False


def _fetch_base(name: str) -> None:
    """Fetch a pipeline; or one file, and the vocabulary that no such file holds."""
    from mmdiff_core.weights.hub import CLIP_VOCABULARY, download_model

    if name.endswith(".safetensors"):
        _fetch_adapter(name)  # a file as any other
        download_model(CLIP_VOCABULARY)
    else:
        download_model(name)


def _fetch_adapter(name: str) -> None:
    from mmdiff_core.weights.hub_adapters import download_adapter

    download_adapter(name, lambda what: logger.info("Fetching %s.", what))


@contextmanager
def _told(name: str, every_s: float = TELL_EVERY_S, size: Callable[[str], int] | None = None) -> Iterator[None]:
    """Log the beginning and the end of a download, and how much has arrived in between."""
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()  # thousands of lines in a log
    done, began, measure = threading.Event(), time.monotonic(), size or _arrived

    def watch() -> None:
        while not done.wait(every_s):
            logger.info("Fetching %s: %.1f GB have arrived ...", name, measure(name) / 1e9)

    logger.info("Fetching %s from the hub ...", name)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
        logger.info("Fetched %s in %.0f s.", name, time.monotonic() - began)
    finally:
        done.set()
        watcher.join()


def _arrived(name: str) -> int:
    """Return the bytes of a repository in the hub's cache, those of unfinished files included."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"models--{'--'.join(name.split('/')[:2])}" / "blobs"
    return sum(file.stat().st_size for file in folder.glob("*") if file.is_file())
