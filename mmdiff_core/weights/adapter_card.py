"""Sharing an adapter on the hub: its file, and a model card that says what it is and how to use it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
import torch
from huggingface_hub import CommitInfo, HfApi, ModelCard, ModelCardData, constants
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import validate_repo_id

from mmdiff_core.errors import MMDiffError, ModelError
from mmdiff_core.nn.adapter import AdapterConfig, MMDiffAdapter
from mmdiff_core.weights.adapter_file import save_adapter
from mmdiff_core.weights.hub import first_line
from mmdiff_core.weights.hub_adapters import ADAPTER_FILE
from mmdiff_core.weights.integrity import download_command

CARD = """\
# {name}

An MM-Diff adapter for `{base}`: it shows the subjects of your photos, several at once, with a heatmap for each.

```bash
{download}
python -m mmdiff_core generate --base {base} --adapter {name} \\
    --prompt "a cat next to a dog on the beach" --subject cat=cat.png --subject dog=dog.png --out out/
```

| | |
|---|---|
{rows}
"""


def push_adapter(
    adapter: MMDiffAdapter,
    name: str,
    base: str,
    license: str | None = None,
    private: bool = False,
    dtype: torch.dtype | None = None,
) -> CommitInfo:
    """Upload an adapter as ``adapter.safetensors``, with a model card; the repository is made if necessary.

    Args:
        adapter: what to share.
        name: USER/REPO.
        base: what the card calls the base model, a name on the hub.
        license: the hub's short name of the weights' licence, such as ``apache-2.0``.
        private: whether a new repository is only for its owner.
        dtype: precision of the file; None keeps the adapter's own.

    Raises:
        ModelError: there is no network or no permission, or the hub does not answer.
    """
    with TemporaryDirectory() as folder, _upload_errors(name):
        validate_repo_id(name)
        save_adapter(adapter, Path(folder) / ADAPTER_FILE, dtype=dtype)
        (Path(folder) / "README.md").write_text(str(adapter_card(adapter.config, name, base, license)), "utf-8")
        api = HfApi(endpoint=constants.ENDPOINT)
        api.create_repo(name, private=private, exist_ok=True)
        return api.upload_folder(repo_id=name, folder_path=folder, commit_message="An MM-Diff adapter")


@contextmanager
def _upload_errors(name: str) -> Iterator[None]:
    """Turn what goes wrong with the hub into one sentence."""
    if constants.HF_HUB_OFFLINE:
        raise ModelError(f'"{name}" is not uploaded, because HF_HUB_OFFLINE is set: unset it.')
    try:
        yield
    except MMDiffError:
        raise
    except (OSError, ValueError, httpx2.HTTPError, HfHubHTTPError) as error:
        raise ModelError(
            f'"{name}" cannot be uploaded: check the name, USER/REPO, and the network, and run "hf auth login" with a '
            f"token that may write. ({first_line(error)})"
        ) from error


def adapter_card(config: AdapterConfig, name: str, base: str, license: str | None = None) -> ModelCard:
    """Return the model card of an adapter; args as :func:`push_adapter`."""
    data = ModelCardData(
        base_model=base, base_model_relation="adapter", license=license, library_name="mm-diff",
        pipeline_tag="text-to-image", tags=["mm-diff", "personalization", "adapter"],
    )  # fmt: skip
    rows = "\n".join(f"| {what} | {value} |" for what, value in _facts(config).items())
    text = CARD.format(name=name, base=base, download=download_command(name), rows=rows)
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}")


def _facts(config: AdapterConfig) -> dict[str, object]:
    """Return what a configuration is made of, in the words of the documentation."""
    components = config.components
    parts = {
        "vision-augmented text": components.vision_text,
        "SE-Refiner": components.refiner,
        "image branch": components.image_branch,
        "null token": components.null_token,
    }
    return {
        "components": ", ".join(part for part, there in parts.items() if there),
        "reads": "faces" if config.source == "face" else "photos",
        "tokens per photo": config.tokens,
        "rank of the LoRAs": config.rank or "none",
        "width of the context": config.width,
    }
