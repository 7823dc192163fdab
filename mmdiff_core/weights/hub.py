"""Where the folder of a model is, and how to get it.

Opening a model never downloads anything; ``python -m mmdiff_core models --download NAME`` does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path, PurePosixPath

import httpx2
from diffusers import DiffusionPipeline
from huggingface_hub import HfApi, constants, scan_cache_dir, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import CacheNotFound, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from huggingface_hub.utils import validate_repo_id

from mmdiff_core.errors import MMDiffError, ModelError
from mmdiff_core.weights.integrity import INDEX, WEIGHTS, download_command

CLIP = "openai/clip-vit-large-patch14"
VIT_H, VIT_BIGG = "h94/IP-Adapter/models/image_encoder", "h94/IP-Adapter/sdxl_models/image_encoder"  # IP-Adapter's
CLIP_VOCABULARY = f"{CLIP}/tokenizer"  # no folder there: the small files that make a tokenizer
CLIP_EVALUATOR, DINO_EVALUATOR = "openai/clip-vit-base-patch32", "facebook/dino-vits16"  # of ``evaluate dreambench``
TIMEOUT_S = 20.0  # for the hub's first answer; afterwards the hub library's own timeouts count


@dataclass(frozen=True)
class HubModel:
    """A model that the project uses."""

    name: str
    title: str
    gigabytes: float  # of the download
    half: bool = False  # offered in half precision

    @property
    def size(self) -> str:
        """Return the size of the download, in words."""
        return f"about {format_gigabytes(self.gigabytes)}" + (" in half precision" if self.half else "")


def format_gigabytes(gigabytes: float) -> str:
    """Return a size as "7 GB" or "610 MB"."""
    return f"{gigabytes:g} GB" if gigabytes >= 1 else f"{1000 * gigabytes:.0f} MB"


HUB_MODELS = (
    HubModel("stable-diffusion-v1-5/stable-diffusion-v1-5", "Stable Diffusion 1.5", 2.7, half=True),
    HubModel("stabilityai/stable-diffusion-xl-base-1.0", "Stable Diffusion XL", 7, half=True),
    HubModel(CLIP, "CLIP ViT-L/14 image encoder", 1.7),
)

VOCABULARIES = (HubModel(CLIP_VOCABULARY, "CLIP's vocabulary, for models in one file", 0.005),)
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "special_tokens_map.json")

# What annotates images for training.
ANNOTATORS = (
    HubModel("Salesforce/blip-image-captioning-large", "BLIP, writes captions", 1.9),
    HubModel("IDEA-Research/grounding-dino-base", "GroundingDINO, finds what they name", 0.9),
    HubModel("facebook/sam-vit-huge", "Segment Anything, outlines it", 2.6),
)
# What measures images in the usual way.
EVALUATORS = (
    HubModel(CLIP_EVALUATOR, "CLIP ViT-B/32, measures images", 0.61),
    HubModel(DINO_EVALUATOR, "DINO ViT-S/16, measures images", 0.09),
)
# What public IP-Adapters see photos with: single networks in folders of a repository.
IP_ADAPTER_ENCODERS = (
    HubModel(VIT_H, "OpenCLIP ViT-H/14 image encoder", 2.5),
    HubModel(VIT_BIGG, "OpenCLIP ViT-bigG/14 image encoder", 3.7),
)
BIN_ONLY = (CLIP_EVALUATOR, DINO_EVALUATOR)  # published as pytorch_model.bin only
SINGLE_NETWORKS = (CLIP, *(model.name for model in (*ANNOTATORS, *EVALUATORS)))  # not pipelines; opened by transformers


def find_folder(source: str | PathLike[str], marker: str = INDEX) -> Path:
    """Return the folder itself, or the hub cache's folder of the model of that name; nothing is downloaded.

    Args:
        source: a folder, or a hub name, with a folder of the repository behind it where the model is in one.
        marker: a file that a complete folder has.

    Raises:
        ModelError: it is not here, or not that kind of folder; the message says how to get it.
    """
    folder = Path(source)
    if not folder.is_dir():
        return _cached(str(source), marker)
    if not (folder / marker).is_file():
        raise ModelError(
            f'The folder "{source}" has no {marker}, so it is no model in diffusers\' format or only a part of one: '
            "give the folder that contains that file, or get the model again."
        )
    return folder


def _cached(name: str, marker: str) -> Path:
    """Return the snapshot of a hub model in the cache, or a folder of it: USER/REPO/FOLDER."""
    parts = PurePosixPath(name).parts
    repo, inside = "/".join(parts[:2]), PurePosixPath(*parts[2:], marker)
    try:
        validate_repo_id(repo if len(parts) > 1 and not name.startswith(("/", "~", ".")) else name)
    except HFValidationError as error:
        raise ModelError(f'The model "{name}" is not here: there is no such folder.') from error
    found = try_to_load_from_cache(repo, inside.as_posix(), cache_dir=constants.HF_HUB_CACHE)
    if not isinstance(found, str):
        raise ModelError(f'The model "{name}" is not here: there is no such folder, and {how_to_get(name)}')
    return Path(found).parent


def how_to_get(name: str) -> str:
    """Return the end of a sentence about a hub model that is not here: which command fetches it, and its size."""
    known = (*HUB_MODELS, *VOCABULARIES, *EVALUATORS, *ANNOTATORS, *IP_ADAPTER_ENCODERS)
    size = next((f" ({model.size})" for model in known if model.name == name), "")
    return f'the hub\'s cache does not hold it. Fetch it with "{download_command(name)}"{size}{offline_hint()}.'


def offline_hint() -> str:
    """Return where to fetch something, if that cannot be here."""
    return " on a machine that may use the network: HF_HUB_OFFLINE is set here" if constants.HF_HUB_OFFLINE else ""


def download_model(name: str) -> Path:
    """Fetch the needed files of a hub model, in half precision if it is offered, with a progress bar.

    Files that are here are not fetched again, and an interrupted download continues where it stopped.

    Raises:
        ModelError: there is no such model, no network or no permission, or the hub does not answer.
    """
    with hub_errors(name):
        repo, folder = "/".join(name.split("/")[:2]), "/".join(name.split("/")[2:])
        ask_hub(repo)
        if name == CLIP_VOCABULARY:
            return Path(snapshot_download(repo, allow_patterns=list(TOKENIZER_FILES)))
        if folder:  # a single network
            here = snapshot_download(
                repo, allow_patterns=[f"{folder}/{file}" for file in ("*.json", "model.safetensors")]
            )
            return Path(here) / folder
        if name in SINGLE_NETWORKS:
            weights = "pytorch_model.bin" if name in BIN_ONLY else "model.safetensors"
            return Path(snapshot_download(name, allow_patterns=["*.json", "*.txt", weights]))
        return _download_pipeline(name)


@contextmanager
def hub_errors(name: str) -> Iterator[None]:
    """Turn what goes wrong with the hub, while ``name`` is downloaded, into one sentence.

    Raises:
        ModelError: see :func:`download_model`.
    """
    if constants.HF_HUB_OFFLINE:
        raise ModelError(
            f'"{name}" is not downloaded, because HF_HUB_OFFLINE is set: unset it, or copy the folder from elsewhere.'
        )
    try:
        yield
    except MMDiffError:
        raise
    except httpx2.TimeoutException as error:
        raise ModelError(
            f'"{name}" is not downloaded, because the hub does not answer: try again later. What has arrived is kept, '
            "and the download continues from there."
        ) from error
    except (OSError, ValueError, httpx2.HTTPError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise ModelError(
            f'"{name}" cannot be downloaded: check the name and the network, and run "hf auth login" if the model asks '
            f"for an account. ({first_line(error)})"
        ) from error


def _download_pipeline(name: str) -> Path:
    """Fetch a pipeline in half precision, or as it is if there is no such variant."""
    try:
        return Path(DiffusionPipeline.download(name, variant="fp16", safety_checker=None))
    except ValueError as error:
        if "variant" not in str(error):
            raise
        return Path(DiffusionPipeline.download(name, safety_checker=None))


def ask_hub(name: str) -> None:
    """Ask the hub for a model, with a timeout for a hub that accepts the connection and never answers."""
    HfApi(endpoint=constants.ENDPOINT).model_info(name, timeout=TIMEOUT_S)


def variant_of(component: Path) -> str | None:
    """Return the variant of the weights in a component's folder, such as ``fp16``; None where there are plain ones."""
    files = [path for path in component.glob("*") if path.suffix in WEIGHTS and path.is_file()]
    variants = {"".join(path.suffixes[:-1]).removeprefix(".").split("-")[0] for path in files}
    return min(variants, default=None) or None  # the plain ones sort first, as ""


def cached_models() -> Iterator[str]:
    """Yield the names of the models in the hub's cache."""
    try:
        cache = scan_cache_dir(constants.HF_HUB_CACHE)
    except CacheNotFound:
        return
    yield from sorted(repo.repo_id for repo in cache.repos if repo.repo_type == "model")


def size_on_disk(folder: Path) -> int:
    """Return the bytes of all files of a folder; a file with several links counts once."""
    files = {path.resolve() for path in folder.rglob("*") if path.is_file()}
    return sum(os.stat(file).st_size for file in files)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
