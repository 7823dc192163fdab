"""Where a model's folder is, whether it is all there, and how to get it.

Opening a model never downloads anything; ``python -m mmdiff_core models --download NAME`` does, with a progress bar.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import httpx2
from diffusers import DiffusionPipeline
from huggingface_hub import HfApi, constants, scan_cache_dir, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import CacheNotFound, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from huggingface_hub.utils import validate_repo_id

from mmdiff_core.errors import ModelError
from mmdiff_core.weights.integrity import INDEX, WEIGHTS, download_command

CLIP = "openai/clip-vit-large-patch14"
CLIP_EVALUATOR, DINO_EVALUATOR = "openai/clip-vit-base-patch32", "facebook/dino-vits16"  # of ``evaluate``
PATIENCE_S = 20.0  # for the hub's first word; later silences are given up after the hub library's own timeouts


@dataclass(frozen=True)
class HubModel:
    """A model that the project is made for."""

    name: str
    title: str
    gigabytes: float  # of the download
    half: bool = False  # offered in half precision

    @property
    def size(self) -> str:
        """Of the download, for a sentence."""
        return f"about {amount(self.gigabytes)}" + (" in half precision" if self.half else "")


def amount(gigabytes: float) -> str:
    """How much that is, for a person to read."""
    return f"{gigabytes:g} GB" if gigabytes >= 1 else f"{1000 * gigabytes:.0f} MB"


HUB_MODELS = (
    HubModel("stable-diffusion-v1-5/stable-diffusion-v1-5", "Stable Diffusion 1.5", 2.7, half=True),
    HubModel("stabilityai/stable-diffusion-xl-base-1.0", "Stable Diffusion XL", 7, half=True),
    HubModel(CLIP, "CLIP ViT-L/14 image encoder", 1.7),
)

# What annotates pictures for training: says what is in them, finds it, outlines it.
ANNOTATORS = (
    HubModel("Salesforce/blip-image-captioning-large", "BLIP, writes captions", 1.9),
    HubModel("IDEA-Research/grounding-dino-base", "GroundingDINO, finds things", 0.9),
    HubModel("facebook/sam-vit-huge", "Segment Anything, outlines them", 2.6),
)
# What measures pictures as the field does.
JUDGES = (
    HubModel(CLIP_EVALUATOR, "CLIP ViT-B/32, which measures pictures", 0.61),
    HubModel(DINO_EVALUATOR, "DINO ViT-S/16, which measures pictures", 0.09),
)
BINARY = (CLIP_EVALUATOR, DINO_EVALUATOR)  # their makers offer pytorch_model.bin alone
SINGLE = (CLIP, *(model.name for model in (*ANNOTATORS, *JUDGES)))  # models of one part, by transformers


def find_folder(source: str | PathLike[str], marker: str = INDEX) -> Path:
    """The folder itself, or where the hub's cache keeps the model of that name; nothing is downloaded.

    Args:
        source: a folder, or a hub name.
        marker: a file that a complete folder has.

    Raises:
        ModelError: it is nowhere, or is not that kind of folder; the message says how to get it.
    """
    folder = Path(source)
    if not folder.is_dir():
        return _cached(str(source), marker)
    if not (folder / marker).is_file():
        raise ModelError(
            f'The folder "{source}" has no {marker}, so it is no model in diffusers\' format or only a part of one: '
            "give the folder that holds that file, or get the model again."
        )
    return folder


def _cached(name: str, marker: str) -> Path:
    """The snapshot of a hub model in the cache."""
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise ModelError(f'The model "{name}" is not here: there is no such folder.') from error
    found = try_to_load_from_cache(name, marker, cache_dir=constants.HF_HUB_CACHE)
    if not isinstance(found, str):
        raise ModelError(f'The model "{name}" is not here: there is no such folder, and {how_to_get(name)}')
    return Path(found).parent


def how_to_get(name: str) -> str:
    """The end of a sentence about a hub model that is not here: which command fetches it, and how large it is."""
    known = (*HUB_MODELS, *JUDGES, *ANNOTATORS)
    size = next((f" ({model.size})" for model in known if model.name == name), "")
    offline = " on a machine that may use the network: HF_HUB_OFFLINE is set here" if constants.HF_HUB_OFFLINE else ""
    return f'the hub\'s cache does not hold it. Fetch it with "{download_command(name)}"{size}{offline}.'


def download(name: str) -> Path:
    """Fetch the files of a hub model that are needed, under a progress bar, in half precision where it is offered.

    What is there already is not fetched again, and a broken download goes on where it stopped.

    Raises:
        ModelError: there is no such model, no network, or no permission, or the hub hangs.
    """
    if constants.HF_HUB_OFFLINE:
        raise ModelError(
            f'"{name}" is not downloaded, because HF_HUB_OFFLINE is set: unset it, or copy the folder from elsewhere.'
        )
    try:
        greet(name)
        if name in SINGLE:
            weights = "pytorch_model.bin" if name in BINARY else "model.safetensors"  # what their makers offer
            return Path(snapshot_download(name, allow_patterns=["*.json", "*.txt", weights]))
        return _download_pipeline(name)
    except httpx2.TimeoutException as error:
        raise ModelError(
            f'"{name}" is not downloaded, because the hub does not answer: try again later. What has come already is '
            "kept, and the download goes on from there."
        ) from error
    except (OSError, ValueError, httpx2.HTTPError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise ModelError(
            f'"{name}" cannot be downloaded: check the name and the network, and run "hf auth login" if the model asks '
            f"for an account. ({first_line(error)})"
        ) from error


def _download_pipeline(name: str) -> Path:
    """In half precision, or as it is where its maker offers no other."""
    try:
        return Path(DiffusionPipeline.download(name, variant="fp16", safety_checker=None))
    except ValueError as error:
        if "variant" not in str(error):
            raise
        return Path(DiffusionPipeline.download(name, safety_checker=None))


def greet(name: str) -> None:
    """Ask the hub for a model; one that takes the connection and says nothing is given up."""
    HfApi(endpoint=constants.ENDPOINT).model_info(name, timeout=PATIENCE_S)


def variant_of(component: Path) -> str | None:
    """Return the variant of the weights in a component's folder, such as ``fp16``; None where there are plain ones."""
    files = [path for path in component.glob("*") if path.suffix in WEIGHTS and path.is_file()]
    variants = {"".join(path.suffixes[:-1]).removeprefix(".").split("-")[0] for path in files}
    return min(variants, default=None) or None  # the plain ones sort first, as ""


def cached_models() -> Iterator[str]:
    """Names of the models in the hub's cache."""
    try:
        cache = scan_cache_dir(constants.HF_HUB_CACHE)
    except CacheNotFound:
        return
    yield from sorted(repo.repo_id for repo in cache.repos if repo.repo_type == "model")


def size_on_disk(folder: Path) -> int:
    """Bytes of all files of a folder, each counted once however many links lead to it."""
    files = {path.resolve() for path in folder.rglob("*") if path.is_file()}
    return sum(os.stat(file).st_size for file in files)


def first_line(error: BaseException) -> str:
    """What an error says, without the rest of its message."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
