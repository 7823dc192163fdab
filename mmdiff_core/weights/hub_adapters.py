"""Adapters by their names on the hub, USER/REPO or USER/REPO/FILE: in its cache, and fetched when a person asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path, PurePosixPath

from huggingface_hub import (
    HfApi,
    constants,
    hf_hub_download,
    scan_cache_dir,
    snapshot_download,
    try_to_load_from_cache,
)
from huggingface_hub.errors import CacheNotFound, HFValidationError, LocalEntryNotFoundError
from huggingface_hub.utils import validate_repo_id

from mmdiff_core.errors import CheckpointError, ModelError
from mmdiff_core.weights.hub import TIMEOUT_S, VIT_BIGG, VIT_H, format_gigabytes, hub_errors, offline_hint
from mmdiff_core.weights.integrity import INDEX, download_command

ADAPTER_FILE = "adapter.safetensors"  # what a repository of one adapter holds
SUFFIXES = (".safetensors", ".bin")
IP_ADAPTERS = ("h94/IP-Adapter", "h94/IP-Adapter-FaceID")
ENCODER_FILES = ("config.json", "model.safetensors")


@dataclass(frozen=True)
class HubFiles:
    """Files of one repository that belong together."""

    repo: str
    files: tuple[str, ...]
    title: str  # for messages

    def missing_from(self, sizes: Mapping[str, int | None]) -> list[str]:
        """Return those that the repository does not have."""
        return [file for file in self.files if file not in sizes]


def split_hub_name(name: str) -> tuple[str, str]:
    """Return the repository and the file, which may be empty, of USER/REPO[/FILE].

    Raises:
        ModelError: it is no such name.
    """
    parts = PurePosixPath(name).parts
    repo, file = "/".join(parts[:2]), "/".join(parts[2:])
    try:
        if len(parts) < 2 or name.startswith(("/", "~", ".")):
            raise HFValidationError(name)
        validate_repo_id(repo)
    except HFValidationError as error:
        raise ModelError(f'"{name}" is no name on the hub, such as USER/REPO or USER/REPO/FILE.') from error
    return repo, file


def find_adapter(source: str | PathLike[str]) -> Path:
    """Return a path as it is, or the file in the hub's cache of an adapter's name; nothing is downloaded.

    Args:
        source: a file, a folder, or USER/REPO[/FILE]. Without FILE it is the repository's only adapter.

    Raises:
        CheckpointError: it is not here; the message says how to get it.
    """
    path = Path(source)
    name = source if isinstance(source, str) else path.as_posix()
    if path.exists() or _is_a_path(name):
        return path
    repo, file = split_hub_name(name)
    if file:
        found = try_to_load_from_cache(repo, file, cache_dir=constants.HF_HUB_CACHE)
        if isinstance(found, str):
            return Path(found)
        raise CheckpointError(_not_here(name))
    try:
        snapshot = Path(snapshot_download(repo, local_files_only=True, cache_dir=constants.HF_HUB_CACHE))
    except LocalEntryNotFoundError as error:
        raise CheckpointError(_not_here(name)) from error
    files = (file.relative_to(snapshot).as_posix() for file in sorted(snapshot.rglob("*")) if file.is_file())
    return snapshot / only_adapter(repo, files)


def only_adapter(repo: str, files: Iterable[str]) -> str:
    """Return the adapter among a repository's files: ``adapter.safetensors``, or the only one that may be.

    Raises:
        CheckpointError: there is none, or there are several.
    """
    found = [file for file in files if file.endswith(SUFFIXES) and "image_encoder/" not in file]
    if ADAPTER_FILE in found or len(found) == 1:
        return ADAPTER_FILE if ADAPTER_FILE in found else found[0]
    if not found:
        raise CheckpointError(f'"{repo}" holds no adapter, which would be a file {" or ".join(SUFFIXES)}.')
    listed = ", ".join(f"{repo}/{file}" for file in found)
    raise CheckpointError(f'"{repo}" holds several adapters: name one of them, {listed}.')


def adapters_in_cache() -> Iterator[tuple[str, Path]]:
    """Yield the names and files of the adapters in the hub's cache: released IP-Adapters, and repositories of one."""
    try:
        cache = scan_cache_dir(constants.HF_HUB_CACHE)
    except CacheNotFound:
        return
    for repo in sorted(cache.repos, key=lambda each: each.repo_id):
        if not repo.revisions:
            continue
        newest = max(repo.revisions, key=lambda each: each.last_modified)
        for file in sorted(newest.files, key=lambda each: each.file_path):
            inside = file.file_path.relative_to(newest.snapshot_path).as_posix()
            released = repo.repo_id in IP_ADAPTERS and inside.endswith(SUFFIXES) and "image_encoder/" not in inside
            if released or inside == ADAPTER_FILE:
                yield (f"{repo.repo_id}/{inside}" if released else repo.repo_id), file.file_path


def is_adapter_name(name: str) -> bool:
    """Whether a name on the hub is that of an adapter's file, not of a model."""
    return name in IP_ADAPTERS or (len(PurePosixPath(name).parts) > 2 and name.endswith(SUFFIXES))


def image_encoder_for(name: str) -> str | None:
    """Return the name of the image encoder that a released IP-Adapter was made with.

    Args:
        name: USER/REPO/FILE. Of other repositories nothing is known, and FaceID without Plus needs none.
    """
    repo, file = split_hub_name(name)
    lowered = file.lower()
    if repo not in IP_ADAPTERS or ("faceid" in lowered and "plus" not in lowered):
        return None
    plain_sdxl = lowered.startswith("sdxl_models/") and "vit-h" not in lowered
    return VIT_BIGG if plain_sdxl or "vit-g" in lowered else VIT_H


def download_adapter(name: str, tell: Callable[[str], object]) -> Path:
    """Fetch an adapter and, for a released IP-Adapter, its image encoder.

    Args:
        name: USER/REPO/FILE, or USER/REPO of a repository with a single adapter.
        tell: is told what is going to be fetched, and how large it is, before anything is.

    Returns:
        The adapter's file in the hub's cache.

    Raises:
        ModelError: there is no such file, no network or no permission, or the hub does not answer.
        CheckpointError: the repository holds several adapters, or none.
    """
    repo, file = split_hub_name(name)
    with hub_errors(name):
        sizes = repository_files(repo)
        file = file or only_adapter(repo, sizes)
        wanted = [HubFiles(repo, (file,), PurePosixPath(file).name)]
        if encoder := image_encoder_for(f"{repo}/{file}"):
            source, folder = split_hub_name(encoder)
            wanted.append(HubFiles(source, tuple(f"{folder}/{x}" for x in ENCODER_FILES), "its image encoder"))
        known = {repo: sizes} | {part.repo: repository_files(part.repo) for part in wanted if part.repo != repo}
        for part in wanted:
            if missing := part.missing_from(known[part.repo]):
                raise ModelError(f'"{part.repo}" has no file "{missing[0]}": look the name up on the hub.')
        tell(" and ".join(f"{part.title} ({_size(part, known[part.repo])})" for part in wanted))
        paths = [hf_hub_download(part.repo, each) for part in wanted for each in part.files]
    return Path(paths[0])


def repository_files(repo: str) -> dict[str, int | None]:
    """Ask the hub for the files of a repository, with their sizes in bytes."""
    info = HfApi(endpoint=constants.ENDPOINT).model_info(repo, timeout=TIMEOUT_S, files_metadata=True)
    return {file.rfilename: file.size for file in info.siblings or ()}


def is_adapter_repository(repo: str) -> bool:
    """Whether a repository on the hub is an adapter, not a model; errors as :func:`download_adapter`."""
    with hub_errors(repo):
        files = repository_files(repo)
    return ADAPTER_FILE in files and INDEX not in files


def _is_a_path(name: str) -> bool:
    """Whether a name that is not there was meant as a path: only a repository has no suffix or more than two parts."""
    parts = PurePosixPath(name).parts
    if name.startswith(("/", "~", ".")) or len(parts) < 2:
        return True
    return len(parts) == 2 and name.endswith(SUFFIXES)


def _not_here(name: str) -> str:
    return (
        f'The adapter "{name}" is not here: there is no such file, and the hub\'s cache does not hold it. Fetch it '
        f'with "{download_command(name)}"{offline_hint()}.'
    )


def _size(part: HubFiles, sizes: Mapping[str, int | None]) -> str:
    total = sum(sizes[file] or 0 for file in part.files)
    return f"about {format_gigabytes(float(f'{total / 10**9:.2g}'))}"
