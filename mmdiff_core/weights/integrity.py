"""Whether the files of a model are all there and whole, before anything is loaded."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from zipfile import is_zipfile

from safetensors import safe_open
from torch import nn

from mmdiff_core.errors import ModelError

INDEX = "model_index.json"
WEIGHTS = (".safetensors", ".bin")
# What a part's folder must hold, one of each line, by the kind of its class.
TOKENIZER_FILES = (("tokenizer.json", "vocab.json"),)
SCHEDULER_FILES = (("scheduler_config.json",),)
PROCESSOR_FILES = (("preprocessor_config.json",),)
UNUSED = ("safety_checker",)  # parts that are never opened


def download_command(name: str) -> str:
    """What to type to fetch a hub model."""
    return f"python -m mmdiff_core models --download {name}"


def check_complete(folder: Path, source: str | PathLike[str]) -> None:
    """Whether every part of a pipeline's folder is there, without opening one.

    Raises:
        ModelError: a file is missing or was cut off; the message names the first one and says what to do.
    """
    problem = next(problems(folder), None)
    if problem is not None:
        cure = "copy the folder again" if Path(source).is_dir() else f'run "{download_command(str(source))}" again'
        raise ModelError(f'The model "{source}" is incomplete: {problem}. To mend it, {cure}.')


def check_weights(folder: Path, source: str | PathLike[str]) -> None:
    """The same for the folder of a model of one part. Raises ModelError."""
    problem = next(problems_of_weights(folder), None)
    if problem is not None:
        cure = "copy the folder again" if Path(source).is_dir() else f'run "{download_command(str(source))}" again'
        raise ModelError(f'The model "{source}" is incomplete: {problem}. To mend it, {cure}.')


def problems(folder: Path) -> Iterator[str]:
    """What is wrong with the files of a pipeline's folder, a few words each."""
    try:
        index = json.loads((folder / INDEX).read_text())
    except ValueError:
        yield f'the file "{folder / INDEX}" is damaged'
        return
    for part, entry in index.items():
        if isinstance(entry, list) and entry[0] is not None and part not in UNUSED:
            yield from _problems_of_part(folder / part, str(entry[1]))


def _problems_of_part(part: Path, kind: str) -> Iterator[str]:
    """The same of one part. Args: part (its folder), kind (the name of its class)."""
    needed: Sequence[Sequence[str]] = (("config.json",),)
    for word, files in (("Tokenizer", TOKENIZER_FILES), ("Scheduler", SCHEDULER_FILES), ("Processor", PROCESSOR_FILES)):
        needed = files if word in kind or (word == "Processor" and "Extractor" in kind) else needed
    for names in needed:
        there = [part / name for name in names if (part / name).is_file()]
        if not there:
            yield f'the file "{part / names[0]}" is missing'
        yield from (f'the file "{path}" is damaged' for path in there if not is_json(path))
    if needed[0] == ("config.json",):
        yield from problems_of_weights(part)


def problems_of_weights(part: Path) -> Iterator[str]:
    """What is wrong with the weights in a folder: none, a shard too few, or a file that was cut off."""
    files = [path for path in sorted(part.glob("*")) if path.suffix in WEIGHTS]
    whole = [path for path in files if path.is_file()]
    if not whole:
        yield f'the weights in the folder "{part}" are missing'
    for index in part.glob("*.index*.json"):
        if not is_json(index):
            yield f'the file "{index}" is damaged'
            continue
        shards = set(json.loads(index.read_text())["weight_map"].values())
        yield from (f'the file "{part / name}" is missing' for name in sorted(shards) if not (part / name).is_file())
    yield from (f'the file "{path}" was cut off' for path in whole if is_cut_off(path))


def is_json(path: Path) -> bool:
    """Whether a file holds a table in JSON, whole."""
    try:
        return isinstance(json.loads(path.read_text(encoding="utf-8")), dict)
    except ValueError:
        return False


def check_all_there(part: nn.Module, folder: Path, name: str, source: object) -> None:
    """Whether every tensor of a part came from its files: libraries fill what is missing with random numbers.

    Tensors are counted by their number of values, since files from before a renaming have other names and layouts.

    Raises:
        ModelError: some are missing.
    """
    held: Counter[int] = Counter()
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="pt") as read:
            held.update(math.prod(read.get_slice(key).get_shape()) for key in read.keys())  # noqa: SIM118
    missing = Counter(x.numel() for x in part.parameters()) - held
    if held and missing:
        raise ModelError(
            f'The model "{source}" is incomplete: the files in "{folder}" lack {missing.total()} tensors of its '
            f"{name}. Get the model again."
        )


def is_cut_off(path: Path) -> bool:
    """Whether a safetensors file is shorter than its own header says, or a .bin file has lost its end or all of it."""
    size = path.stat().st_size
    if path.suffix != WEIGHTS[0]:
        with path.open("rb") as file:
            zipped = file.read(2) == b"PK"  # else of an older format, which does not tell
        return size == 0 or (zipped and not is_zipfile(path))
    with path.open("rb") as file:
        start = int.from_bytes(file.read(8), "little")
        if size < 8 + start:
            return True
        try:
            header = json.loads(file.read(start))
        except ValueError:
            return True
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    return size < 8 + start + max(ends, default=0)
