"""Token maps as one HTML file that can be mailed: picture, words to click, steps and layers, without a server."""

from __future__ import annotations

import base64
import html
import io
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from mmdiff_core.inspection.report_texts import REPORT_TEXTS, ReportTexts
from mmdiff_core.inspection.self_attention import SelfAttention
from mmdiff_core.inspection.token_maps import SCALES, Scale, TokenMaps
from mmdiff_core.maps.heatmap import PALETTE_TABLES
from mmdiff_core.output.image_grid import enlarged_to

ALL_LAYERS = ""  # the name of their mean
MAX_SIDE = 64  # of the mean over all layers
MAX_LAYER_SIDE = 32  # of one block of layers
MAX_BYTES = 12_000_000  # of all maps; steps are thinned out until they fit
IMAGE_SIDE = 512
_FOLDER = Path(__file__).parent
_STEPS_OF_U16 = 65535


def html_report(image: Image.Image, maps: TokenMaps, scale: Scale = "share", texts: ReportTexts = REPORT_TEXTS) -> str:
    """Return the page.

    Layers are shown by block, and finer maps than ``MAX_SIDE`` are shrunk; ``to_npz`` keeps everything.

    Args:
        image: the image.
        maps: of it, of at least one step.
        scale: what it begins with.
        texts: in the language of who reads it.
    """
    page = (_FOLDER / "html_report.html").read_text(encoding="utf-8")
    data = report_data(image, maps, scale) | {"texts": dict(texts)}
    for name, text in texts.items():
        page = page.replace(f"<!-- {name} -->", html.escape(text))
    page = page.replace("<!-- PROMPT -->", html.escape(maps.prompt))
    parts = {
        "STYLE": (_FOLDER / "html_report.css").read_text(encoding="utf-8"),
        "SCRIPT": (_FOLDER / "html_report.js").read_text(encoding="utf-8"),
        "DATA": json.dumps(data, ensure_ascii=False).replace("<", "\\u003c"),
    }
    for name, text in parts.items():
        page = page.replace(f"<!-- {name} -->", text, 1)
    return page


def report_data(image: Image.Image, maps: TokenMaps, scale: Scale) -> dict[str, object]:
    """Return what the page's script gets.

    ``maps`` is base64 of little-endian uint16, for each of ``layers`` (steps, rows, h, w) in turn; times a row's
    ``unit`` it is a share.
    """
    blocks = {ALL_LAYERS: list(maps.layers)} | _blocks(list(maps.layers))
    steps = list(maps.steps)
    while _bytes_of(maps, blocks, len(steps)) > MAX_BYTES and len(steps) > 1:
        steps = steps[::2]
    found = {name: _block_maps(maps, steps, paths, name == ALL_LAYERS) for name, paths in blocks.items()}
    units = torch.stack([x.amax((0, 2, 3)) for x in found.values()]).amax(0).clamp(min=1e-8) / _STEPS_OF_U16
    packed = [(x / units[:, None, None]).round().numpy().astype("<u2").tobytes() for x in found.values()]
    tokens, concepts = maps.table.tokens, maps.concepts
    return {
        "prompt": maps.prompt,
        "image": _data_url(enlarged_to(image, IMAGE_SIDE) if max(image.size) < IMAGE_SIDE else image),
        "rows": len(tokens) + len(concepts),
        "words": [
            {"label": label, "rows": list(maps.rows_of(name)), "concept": name in concepts}
            for label, name in (maps.names | _special_names(maps)).items()
        ],
        "first": _most_uneven(maps),
        "wordRows": list(maps.table.word_rows),
        "wordCount": len(maps.words),
        "steps": steps,
        "stepsMade": maps.steps_made,
        "layers": [{"name": name, "h": x.shape[2], "w": x.shape[3]} for name, x in found.items()],
        "units": [float(unit) for unit in units],
        "maps": base64.b64encode(b"".join(packed)).decode(),
        "scales": list(SCALES),
        "scale": scale,
        "dropped": maps.dropped,
        "looks": None if maps.looks is None else _packed_looks(maps.looks),
        "palette": PALETTE_TABLES["viridis"].split(),
    }


def _most_uneven(maps: TokenMaps) -> int:
    """Return the number of the word whose map points at something most clearly, which the page begins with."""
    spread = [float(maps.at(name).std()) for name in maps.names.values()]
    return int(np.argmax(spread)) if spread else 0


def _special_names(maps: TokenMaps) -> dict[str, str]:
    """Return start, end and the like, which stand behind the words."""
    return {token.text: token.text for token in maps.table.tokens if token.span is None}


def _blocks(layers: list[str]) -> dict[str, list[str]]:
    """Return the layers of each transformer, by its name in the UNet; SDXL has up to ten in one."""
    found: dict[str, list[str]] = {}
    for path in layers:
        found.setdefault(path.split(".transformer_blocks.")[0].replace(".attentions", ""), []).append(path)
    return found


def _block_maps(maps: TokenMaps, steps: list[int], paths: list[str], whole: bool) -> Tensor:
    """Return (steps, rows, h, w) of the mean over some layers."""
    found = torch.stack([maps.average(step, paths) for step in steps])
    size = _shown_size((found.shape[2], found.shape[3]), whole)
    return F.adaptive_avg_pool2d(found, size)


def _packed_looks(looks: SelfAttention) -> dict[str, object]:
    """Return a self-attention as the page's script gets it: ``weights`` is base64 of little-endian uint16.

    (h * w, h * w), a row for each pixel that looks; times ``unit`` it is a share.
    """
    height, width = looks.size
    size = _shown_size(looks.size, whole=False)
    weights = looks.weights.float().view(height, width, height, width)
    ratio = (height * width) / (size[0] * size[1])  # of pixels that become one: their shares add up
    weights = F.adaptive_avg_pool2d(weights.flatten(0, 1), size) * ratio
    weights = F.adaptive_avg_pool2d(weights.movedim(0, -1).reshape(*size, height, width), size)  # (h', w', h', w')
    rows = weights.flatten(2).flatten(0, 1).T
    unit = max(float(rows.max()), 1e-8) / _STEPS_OF_U16
    return {
        "layer": looks.layer,
        "step": looks.step,
        "h": size[0],
        "w": size[1],
        "unit": unit,
        "weights": base64.b64encode((rows / unit).round().numpy().astype("<u2").tobytes()).decode(),
    }


def _shown_size(size: tuple[int, int], whole: bool) -> tuple[int, int]:
    limit = MAX_SIDE if whole else MAX_LAYER_SIDE
    factor = max(1, -(-max(size) // limit))
    return -(-size[0] // factor), -(-size[1] // factor)


def _bytes_of(maps: TokenMaps, blocks: dict[str, list[str]], steps: int) -> int:
    rows = len(maps.table.tokens) + len(maps.concepts)
    finest = [max((maps.layers[path] for path in paths), key=lambda s: s[0] * s[1]) for paths in blocks.values()]
    sizes = (_shown_size(size, index == 0) for index, size in enumerate(finest))
    return 2 * steps * rows * sum(int(np.prod(size)) for size in sizes)


def _data_url(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
