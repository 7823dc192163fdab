"""A model's one file has no vocabulary: where it is looked for, and what is said where it is not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mmdiff_core.backbones.registry import load_backbone
from mmdiff_core.errors import ModelError
from tests.helpers import single_files, tiny


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A model without a vocabulary beside it."""
    path = single_files.write_file(single_files.sdxl(), tmp_path / "model.safetensors")
    shutil.rmtree(tmp_path / "tokenizer")
    return path


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "no-hub"))


def test_without_one_the_message_says_how_to_get_it(file: Path) -> None:
    told = (
        rf'needs the vocabulary of its text encoder, of {len(tiny.tokenizer())} tokens.*copy the folder "tokenizer".*'
        r'models --download openai/clip-vit-large-patch14/tokenizer" \(about 5 MB\)'
    )
    with pytest.raises(ModelError, match=told):
        load_backbone(file)


def test_that_of_any_model_in_the_hub_s_cache_is_taken(file: Path, hub_cache: Path) -> None:
    first, second = load_backbone(file)[0].tokenizers
    assert first.get_vocab() == tiny.tokenizer().get_vocab()
    assert (first.pad_token, second.pad_token) == ("<|endoftext|>", "!")


def test_a_vocabulary_of_another_size_is_passed_over(file: Path) -> None:
    other = tiny.tokenizer()
    other.add_tokens(["<new>"])
    other.save_pretrained(file.parent / "tokenizer")
    with pytest.raises(ModelError, match="needs the vocabulary"):
        load_backbone(file)
