"""A file is there whole or as it was before, whatever happens on the way."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from mmdiff_core.atomic_files import atomic_file, atomic_folder, remove_leftovers, save_network, write_text
from mmdiff_core.errors import WritingError

SMALL = 200_000  # bytes


class Part(nn.Linear):
    """As a network of diffusers saves itself."""

    def save_pretrained(self, save_directory: Path) -> None:
        (save_directory / "config.json").write_text("{}")
        (save_directory / "model.safetensors").write_bytes(b"weights")


def _write_half(path: Path, error: Exception) -> None:
    with atomic_file(path) as aside:
        aside.write_text("half")
        assert list(path.parent.glob("*.txt")) == [path]  # readers that look for suffixes do not see it
        raise error


def _fail_in(folder: Path) -> None:
    with atomic_folder(folder) as aside:
        (aside / "two").touch()
        raise OSError(errno.ENOSPC, "full")


def test_the_new_file_stands_there_alone_with_the_rights_of_any_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    write_text(path, "one")
    write_text(path, "two")
    plain = tmp_path / "new" / "b.txt"
    plain.write_text("")
    assert path.read_text() == "two"
    assert sorted(path.parent.iterdir()) == [path, plain]
    assert path.stat().st_mode == plain.stat().st_mode


def test_a_failure_half_way_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(KeyError):
        _write_half(path, KeyError())
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a.txt", "old")]


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "may not write"),
        (errno.EIO, "Input/output"),
    ],
)
def test_the_disk_s_own_errors_are_said_in_words(number: int, says: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(WritingError, match=says) as caught:
        _write_half(path, OSError(number, os.strerror(number)))
    assert "as it was" in str(caught.value)
    assert path.read_text() == "old"


def test_a_part_s_files_replace_those_of_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "unet"
    folder.mkdir()
    (folder / "model-00001-of-00002.safetensors").write_bytes(b"shard")
    save_network(Part(1, 1), folder)
    assert sorted(file.name for file in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert [path.name for path in tmp_path.iterdir()] == ["unet"]


def test_a_folder_takes_the_place_of_the_old_one_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    with atomic_folder(folder) as aside:
        (aside / "one").touch()
    with pytest.raises(WritingError):
        _fail_in(folder)
    assert [file.name for file in folder.iterdir()] == ["one"]
    with atomic_folder(folder) as aside:
        (aside / "three").touch()
    assert [file.name for file in folder.iterdir()] == ["three"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


# ---------------------------------------------------------------- a disk that is really full


@pytest.fixture
def small_disk() -> object:
    """Files may not grow beyond a few bytes, as on a full disk: the writes themselves fail."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


def test_torch_s_and_safetensors_writers_fail_in_words(tmp_path: Path, small_disk: object) -> None:
    from safetensors.torch import save_file

    large = torch.zeros(SMALL)
    for name, write in (("a.pt", torch.save), ("a.safetensors", lambda x, path: save_file({"x": x}, path))):
        path = tmp_path / name
        with atomic_file(path) as aside:
            write(torch.zeros(2), aside)
        with pytest.raises(WritingError, match="the disk"), atomic_file(path) as aside:
            write(large, aside)
        kept = torch.load(path, weights_only=True) if name == "a.pt" else load_file(path)["x"]
        assert kept.shape == (2,)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pt", "a.safetensors"]


# ---------------------------------------------------------------- a kill


def test_a_kill_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    code = (
        "import os, signal, sys\n"
        "from mmdiff_core.atomic_files import atomic_file, write_text\n"
        "write_text(sys.argv[1], 'old')\n"
        "with atomic_file(sys.argv[1]) as aside:\n"
        "    aside.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2
    remove_leftovers(path)
    assert list(tmp_path.iterdir()) == [path]
