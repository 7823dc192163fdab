"""MM-Diff Studio in the browser: ``python app.py``, then http://127.0.0.1:7860."""

from __future__ import annotations

import argparse
import logging
import os
from typing import TYPE_CHECKING

from mmdiff_core.errors import MMDiffError, ModelError
from mmdiff_core.flags import BUILT_IN, add_model_flags, load_from_flags

if TYPE_CHECKING:
    from mmdiff_core.pipeline import Personalizer

logger = logging.getLogger("mmdiff")


def parse_flags(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line; GRADIO_SERVER_NAME and GRADIO_SERVER_PORT, which a Space sets, are its defaults."""
    parser = argparse.ArgumentParser(description="Personalised pictures with a heatmap per subject, in the browser.")
    parser.add_argument("--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=int(os.environ.get("GRADIO_SERVER_PORT", "7860")))
    parser.add_argument("--share", action="store_true", help="also make a public link through Gradio's servers")
    parser.add_argument(
        "--votes",
        metavar="FILE",
        help="where the answers of the Vote tab are kept, or off; without it MMDIFF_VOTES, else a file in your own "
        "data folder, and none on a Space",
    )
    add_model_flags(parser)
    return parser.parse_args(arguments)


def load(flags: argparse.Namespace) -> Personalizer:
    """The model that the flags ask for; where its base is not on this machine, the built-in one instead.

    Raises:
        MMDiffError: it cannot be loaded; the message says what to do.
    """
    try:
        return load_from_flags(flags)
    except ModelError as error:
        if flags.base is None:
            raise
        logger.warning("%s Going on with the built-in model.", error)
        built_in = {"base": None, "model": BUILT_IN, "adapter": None, "text_encoder_2_lora": False}
        return load_from_flags(argparse.Namespace(**{**vars(flags), **built_in}))


def main(arguments: list[str] | None = None) -> None:
    """Load, build, serve."""
    flags = parse_flags(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # Gradio asks itself whether it is up
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

    from demo.ui import build_ui, launch_options
    from demo.votes import votes_file

    logger.info("Loading the model %s ...", flags.base or flags.model)
    try:
        personalizer = load(flags)
    except MMDiffError as error:
        raise SystemExit(f"{error}") from error
    page = build_ui(personalizer, votes_file(flags.votes))
    page.launch(server_name=flags.host, server_port=flags.port, share=flags.share, **launch_options())


if __name__ == "__main__":
    main()
