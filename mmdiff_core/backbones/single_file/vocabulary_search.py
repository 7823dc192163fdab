"""Tokenizers for a model's one file, which never holds CLIP's vocabulary."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from huggingface_hub import constants, try_to_load_from_cache
from transformers import CLIPTokenizer

from mmdiff_core.errors import ModelError
from mmdiff_core.weights.hub import CLIP, CLIP_VOCABULARY, cached_models, how_to_get

FOLDER = "tokenizer"  # beside the file
FILES = ("tokenizer.json", "vocab.json")
OPEN_CLIP_PADDING = "!"


def find_tokenizer(file: Path, vocabulary: int, open_clip: bool) -> CLIPTokenizer:
    """Return the tokenizer of a text encoder: from the folder ``tokenizer`` beside the file, or the hub's cache.

    Args:
        file: of the model.
        vocabulary: how many tokens the text encoder knows.
        open_clip: the encoder is OpenCLIP's, which has the vocabulary of CLIP and pads by another token.

    Raises:
        ModelError: there is none; the message says how to get it.
    """
    padding = {"pad_token": OPEN_CLIP_PADDING} if open_clip else {}
    for folder in _folders(file):
        with suppress(OSError, ValueError):
            tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True, **padding)
            if len(tokenizer) == vocabulary:
                return tokenizer
    raise ModelError(
        f'The model "{file}" needs the vocabulary of its text encoder, of {vocabulary:,} tokens, which no such file '
        f'holds: copy the folder "{FOLDER}" of any Stable Diffusion beside it. Or take the one of CLIP from the hub; '
        f"{how_to_get(CLIP_VOCABULARY)}"
    )


def _folders(file: Path) -> Iterator[Path]:
    """Yield the folders that may hold a vocabulary."""
    yield file.parent / FOLDER
    for name in dict.fromkeys((CLIP, *cached_models())):
        for inside in ("", f"{FOLDER}/"):
            for each in FILES:
                found = try_to_load_from_cache(name, f"{inside}{each}", cache_dir=constants.HF_HUB_CACHE)
                if isinstance(found, str):
                    yield Path(found).parent
