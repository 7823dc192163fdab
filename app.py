"""MM-Diff Studio in the browser: ``python app.py``, then http://127.0.0.1:7860."""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdiff_core.errors import CheckpointError, MMDiffError, ModelError, SettingsError
from mmdiff_core.flags import BUILT_IN, add_model_flags, load_from_flags

if TYPE_CHECKING:
    from demo.limits import Limits
    from demo.service import Service
    from mmdiff_core.pipeline import Personalizer

logger = logging.getLogger("mmdiff")


def parse_flags(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line; GRADIO_SERVER_NAME and GRADIO_SERVER_PORT, which a Space sets, are its defaults."""
    from demo.limits import add_limit_flags

    parser = argparse.ArgumentParser(description="Personalised pictures with a heatmap per subject, in the browser.")
    parser.add_argument("--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=int(os.environ.get("GRADIO_SERVER_PORT", "7860")))
    parser.add_argument("--share", action="store_true", help="also make a public link through Gradio's servers")
    add_host_flags(parser)
    parser.add_argument(
        "--votes",
        metavar="FILE",
        help="where the answers of the Vote tab are kept, or off; without it MMDIFF_VOTES, else a file in your own "
        "data folder, and none on a Space",
    )
    add_model_flags(parser)
    add_limit_flags(parser)
    return parser.parse_args(arguments)


def add_host_flags(parser: argparse.ArgumentParser) -> None:
    """What matters where others come in."""
    environment, group = os.environ, parser.add_argument_group("hosting")
    group.add_argument(
        "--hosted", action="store_true", help="anybody may come in: stricter limits, and a log in JSON; a Space and "
        "MMDIFF_HOSTED=1 say the same",
    )  # fmt: skip
    group.add_argument(
        "--password", default=environment.get("MMDIFF_PASSWORD"), help="ask visitors for it; better as the variable "
        "MMDIFF_PASSWORD, for flags are seen by others on the machine",
    )  # fmt: skip
    group.add_argument("--user", default=environment.get("MMDIFF_USER", "guest"), help="the name that goes with it")
    group.add_argument(
        "--log", choices=("text", "json"), default=environment.get("MMDIFF_LOG"), help="the log's format"
    )
    group.add_argument(
        "--log-words", action="store_true", default=environment.get("MMDIFF_LOG_WORDS") == "1", help="prompts and "
        "names may stand in the log, too",
    )  # fmt: skip
    group.add_argument(
        "--share-nothing", action="store_true", help="do not serve: check that no state but the sessions' lives in the "
        "process, so that any number of replicas may stand behind a load balancer",
    )  # fmt: skip


def load(flags: argparse.Namespace) -> Personalizer:
    """The model that the flags ask for; where it is not here or damaged, the built-in one instead.

    Raises:
        MMDiffError: it cannot be loaded; the message says what to do.
    """
    try:
        return load_from_flags(flags)
    except (ModelError, CheckpointError) as error:
        mistaken = isinstance(error, CheckpointError) and not Path(flags.adapter or "").exists()  # a slip of the pen
        if mistaken or (flags.base is None and flags.adapter is None):
            raise
        logger.warning("%s Going on with the built-in model.", error)
        built_in = {"base": None, "model": BUILT_IN, "adapter": None, "text_encoder_2_lora": False}
        return load_from_flags(argparse.Namespace(**{**vars(flags), **built_in}))


def serve_model(flags: argparse.Namespace, limits: Limits) -> Service:
    """The loaded model, ready for visitors; on GPUs that the host lends, where it does.

    Raises:
        MMDiffError: it cannot be loaded; the message says what to do.
    """
    from demo.journal import Journal
    from demo.lending import generate_on_loan
    from demo.limits import lends_gpus
    from demo.service import Service

    journal = Journal(flags.log_words)
    if not lends_gpus():
        return Service(load(flags), limits, journal)
    precise = "float16" if flags.dtype == "auto" else flags.dtype
    model = load(argparse.Namespace(**{**vars(flags), "device": "cpu", "memory": "none", "dtype": precise}))
    return Service(model, limits, journal, generate=generate_on_loan(model))


def prepare() -> Path | None:
    """What must be so before Gradio and CUDA are there; returns the folder of temporary files, if it is ours."""
    from demo.limits import lends_gpus

    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000000")  # a table of all events at each event
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if lends_gpus():
        import spaces  # noqa: F401  (before CUDA)
    if os.environ.get("GRADIO_TEMP_DIR"):
        return None
    folder = tempfile.mkdtemp(prefix="mm-diff-studio-")
    os.environ["GRADIO_TEMP_DIR"] = folder
    return Path(folder)


def main(arguments: list[str] | None = None) -> None:
    """Load, build, serve."""
    from demo.limits import is_hosted, limits_from

    flags = parse_flags(arguments)
    hosted = flags.hosted or is_hosted()
    try:
        limits = limits_from(flags, hosted)
    except SettingsError as error:
        raise SystemExit(f"{error}") from error
    temporary = prepare()
    from demo.journal import set_up_logging

    set_up_logging(flags.log or ("json" if hosted else "text"))
    logger.info("Loading the model %s ...", flags.base or flags.model)
    try:
        service = serve_model(flags, limits)
    except MMDiffError as error:
        raise SystemExit(f"{error}") from error
    if flags.share_nothing:
        from demo.share_nothing import check

        raise SystemExit(check(service))
    serve(service, flags, temporary)


def _interrupt(*_: object) -> None:
    """As Ctrl-C does it; not by sending INT, which a process that was started in the background ignores."""
    raise KeyboardInterrupt


def serve(service: Service, flags: argparse.Namespace, temporary: Path | None) -> None:
    """Serve the page until Ctrl-C or TERM."""
    from demo.limits import is_hosted
    from demo.ui import build_ui, launch_options
    from demo.votes import votes_file

    page = build_ui(service, temporary, votes_file(flags.votes, flags.hosted or is_hosted()))
    options: dict[str, Any] = launch_options(page)
    if flags.password:
        options["auth"] = (flags.user, flags.password)
    signal.signal(signal.SIGTERM, _interrupt)  # containers are ended by TERM
    try:
        page.launch(server_name=flags.host, server_port=flags.port, share=flags.share, **options)
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


if __name__ == "__main__":
    main()
