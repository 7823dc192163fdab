"""Checks that the files of a model are complete, before anything is loaded and while it is.

Libraries tell a damaged file by its format, but not which command gets it again; and they fill tensors that a file
lacks with random numbers, with no more than a warning.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

from safetensors import SafetensorError, safe_open

from mmdiff_core.errors import ModelError

INDEX = "model_index.json"
WEIGHTS = (".safetensors", ".bin")
# The files of which a component's folder must hold one, by a word in the name of its class.
CONFIGS = {
    "Tokenizer": ("tokenizer.json", "vocab.json"),
    "Scheduler": ("scheduler_config.json",),
    "Processor": ("preprocessor_config.json",),
    "Extractor": ("preprocessor_config.json",),
}
MODEL_CONFIGS = ("config.json",)  # of every other class: a network, which has weights, too
UNUSED = ("safety_checker",)  # components that are never opened


def download_command(name: str) -> str:
    """Return what to type to fetch a hub model."""
    return f"python -m mmdiff_core models --download {name}"


def check_pipeline_files(folder: Path, source: str | PathLike[str]) -> None:
    """Check that every component of a pipeline's folder is there, without opening one.

    Raises:
        ModelError: a file is missing or damaged; the message names the first one and says what to do.
    """
    _raise_first(pipeline_problems(folder), source)


def check_weight_files(folder: Path, source: str | PathLike[str]) -> None:
    """Check the weights in the folder of a single network.

    Raises:
        ModelError: as for :func:`check_pipeline_files`.
    """
    _raise_first(weight_problems(folder), source)


def _raise_first(problems: Iterator[str], source: str | PathLike[str]) -> None:
    for problem in problems:
        cure = "copy the folder again" if Path(source).is_dir() else f'run "{download_command(str(source))}" again'
        raise ModelError(f'The model "{source}" is incomplete: {problem}. To mend it, {cure}.')


def pipeline_problems(folder: Path) -> Iterator[str]:
    """Yield what is wrong with the files of a pipeline's folder, in a few words each."""
    index = _read_table(folder / INDEX)
    if index is None:
        yield f'the file "{folder / INDEX}" is damaged'
        return
    for name, entry in index.items():
        if isinstance(entry, list) and entry[0] is not None and name not in UNUSED:
            yield from _component_problems(folder / name, str(entry[1]))


def _component_problems(component: Path, class_name: str) -> Iterator[str]:
    configs = next((files for word, files in CONFIGS.items() if word in class_name), MODEL_CONFIGS)
    found = [path for name in configs if (path := component / name).is_file()]
    if not found:
        yield f'the file "{component / configs[0]}" is missing'
    yield from (f'the file "{path}" is damaged' for path in found if _read_table(path) is None)
    if configs == MODEL_CONFIGS:
        yield from weight_problems(component)


def weight_problems(component: Path) -> Iterator[str]:
    """Yield what is wrong with the weights in a folder: none, a missing shard, or a file that was cut off."""
    files = [path for path in sorted(component.glob("*")) if path.suffix in WEIGHTS and path.is_file()]
    if not files:
        yield f'the weights in the folder "{component}" are missing'
    for index in component.glob("*.index*.json"):
        table = _read_table(index)
        if table is None:
            yield f'the file "{index}" is damaged'
            continue
        shards = sorted({component / name for name in table["weight_map"].values()})
        yield from (f'the file "{shard}" is missing' for shard in shards if not shard.is_file())
    yield from (f'the file "{path}" was cut off' for path in files if _is_cut_off(path))


def load_network(kind: Any, folder: Path, source: object, **options: object) -> Any:
    """Load a network by its class's ``from_pretrained``, and check that every tensor came from the files.

    Args:
        kind: a class of diffusers or transformers.
        folder: where its files are.
        source: what messages call the model.
        options: of ``from_pretrained``.

    Raises:
        ModelError: tensors are missing, which the libraries would fill with random numbers.
    """
    network, info = kind.from_pretrained(folder, local_files_only=True, output_loading_info=True, **options)
    if missing := sorted(info["missing_keys"]):
        raise ModelError(
            f'The model "{source}" is incomplete: the files in "{folder}" lack {len(missing)} of its tensors, such as '
            f"{missing[0]}. Get the model again."
        )
    return network


def _read_table(path: Path) -> dict[str, Any] | None:
    """Return the object in a JSON file, or None where it holds none."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return values if isinstance(values, dict) else None


def _is_cut_off(path: Path) -> bool:
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt"):
                return False
        except SafetensorError:
            return True
    with path.open("rb") as file:
        zipped = file.read(2) == b"PK"  # else of an older format, which does not tell
    return path.stat().st_size == 0 or (zipped and not is_zipfile(path))
