"""MM-Diff Studio in the browser: ``python app.py``, then http://127.0.0.1:7860."""

from __future__ import annotations

import argparse
import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmdiff_core.pipeline import Personalizer

logger = logging.getLogger("mmdiff")

BUILT_IN = "toybox"


def parse_flags(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line; GRADIO_SERVER_NAME and GRADIO_SERVER_PORT, which a Space sets, are its defaults."""
    parser = argparse.ArgumentParser(description="Personalised pictures with a heatmap per subject, in the browser.")
    parser.add_argument("--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=int(os.environ.get("GRADIO_SERVER_PORT", "7860")))
    parser.add_argument("--model", default=BUILT_IN, help="toybox, which is built in, or a Stable Diffusion folder")
    parser.add_argument("--adapter", help="MM-Diff weights (.safetensors) for --model")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, ...; auto takes a GPU where there is one")
    parser.add_argument("--share", action="store_true", help="also make a public link through Gradio's servers")
    return parser.parse_args(arguments)


def load(flags: argparse.Namespace) -> Personalizer:
    """The model that the flags ask for.

    Raises:
        ModelError, CheckpointError: it cannot be loaded; the message says what to do.
    """
    import torch

    from mmdiff_core.pipeline import Personalizer

    device = flags.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    half = flags.model != BUILT_IN and device.startswith("cuda")
    dtype = torch.float16 if half else torch.float32
    return Personalizer.load(flags.model, flags.adapter, device=device, dtype=dtype)


def main(arguments: list[str] | None = None) -> None:
    """Load, build, serve."""
    flags = parse_flags(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # Gradio asks itself whether it is up
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

    from demo.ui import build_ui, launch_options
    from mmdiff_core.errors import MMDiffError

    logger.info("Loading the model %s ...", flags.model)
    try:
        personalizer = load(flags)
    except MMDiffError as error:
        raise SystemExit(f"{error}") from error
    page = build_ui(personalizer)
    page.launch(server_name=flags.host, server_port=flags.port, share=flags.share, **launch_options())


if __name__ == "__main__":
    main()
