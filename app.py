"""MM-Diff Studio in the browser: ``python app.py``, then http://127.0.0.1:7860."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdiff_core.cli.aliases import MODEL_FLAGS, rename_flags
from mmdiff_core.cli.model_flags import BUILT_IN, add_model_flags, load_from_flags
from mmdiff_core.errors import CheckpointError, MMDiffError, ModelError, SettingsError

if TYPE_CHECKING:
    from demo.server.limits import Limits
    from demo.server.service import Service
    from demo.server.temp_folder import TempFolder
    from mmdiff_core.pipeline import Personalizer

logger = logging.getLogger("mmdiff")


def parse_flags(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line; GRADIO_SERVER_NAME and GRADIO_SERVER_PORT, which a Space sets, are its defaults."""
    from demo.server.limits import add_limit_flags

    parser = argparse.ArgumentParser(description="Personalised pictures with a heatmap per subject, in the browser.")
    parser.add_argument("--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"))
    parser.add_argument("--port", type=_port, default=os.environ.get("GRADIO_SERVER_PORT") or "7860")
    parser.add_argument("--share", action="store_true", help="also make a public link through Gradio's servers")
    add_host_flags(parser)
    parser.add_argument(
        "--votes",
        metavar="FILE",
        help="where the answers of the Vote tab are kept, or off; without it MMDIFF_VOTES, else a file in your own "
        "data folder, and none where others come in",
    )
    add_model_flags(parser)
    add_limit_flags(parser)
    return parser.parse_args(rename_flags(sys.argv[1:] if arguments is None else arguments, MODEL_FLAGS))


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(
            f'the port, also of GRADIO_SERVER_PORT, must be a whole number from 1 to 65535, but is "{text}"'
        )
    return int(text)


def check_address(host: str, port: int) -> None:
    """Whether the page can be served there, before the model is loaded.

    Raises:
        SettingsError: another program listens there, or this machine has no such address.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as place:
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does it
            place.bind(address)
    except OSError as error:
        raise SettingsError(
            f"The page cannot be served at {host}, port {port} ({error.strerror}): choose another with --host and "
            "--port, or GRADIO_SERVER_NAME and GRADIO_SERVER_PORT."
        ) from error


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
    from demo.server.event_log import EventLog
    from demo.server.limits import lends_gpus
    from demo.server.service import Service
    from demo.server.zero_gpu import run_on_loan

    journal = EventLog(flags.log_words)
    if not lends_gpus():
        return Service(_named(load(flags), flags), limits, journal)
    precise = "float16" if flags.dtype == "auto" else flags.dtype
    model = load(argparse.Namespace(**{**vars(flags), "device": "cpu", "offload": "none", "dtype": precise}))
    model = _named(model, flags, "cuda")
    return Service(model, limits, journal, run=run_on_loan(model))


def _named(model: Personalizer, flags: argparse.Namespace, device: str | None = None) -> Personalizer:
    """With a model source that may be shown to whoever comes in, and the device that pictures are made on."""
    if model.origin is not None:
        origin = model.origin.without_folders() if is_open(flags) else model.origin
        model.origin = replace(origin, device=device or origin.device)
    return model


def is_open(flags: argparse.Namespace) -> bool:
    """Whether others than the person who started it come in."""
    from demo.server.limits import is_hosted

    return flags.hosted or flags.share or is_hosted()


def prepare() -> TempFolder | None:
    """What must be so before Gradio and CUDA are there; returns the folder of temporary files, if it is ours."""
    from demo.server.limits import lends_gpus
    from demo.server.temp_folder import TempFolder

    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000000")  # a table of all events at each event
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if lends_gpus():
        import spaces  # noqa: F401  (before CUDA)
    if os.environ.get("GRADIO_TEMP_DIR"):
        return None
    folder = TempFolder()
    os.environ["GRADIO_TEMP_DIR"] = str(folder.files)
    return folder


def main(arguments: list[str] | None = None) -> None:
    """Load, build, serve."""
    from demo.server.limits import is_hosted, limits_from

    flags = parse_flags(arguments)
    hosted = flags.hosted or is_hosted()
    try:
        limits = limits_from(flags, hosted)
        if not flags.share_nothing:
            check_address(flags.host, flags.port)
    except SettingsError as error:
        raise SystemExit(f"{error}") from error
    temporary = prepare()
    from demo.server.event_log import set_up_logging

    set_up_logging(flags.log or ("json" if hosted else "text"))
    logger.info("Loading the model %s ...", flags.base or flags.model)
    try:
        service = serve_model(flags, limits)
    except MMDiffError as error:
        raise SystemExit(f"{error}") from error
    if flags.share_nothing:
        from demo.replica_check import check_replicas

        raise SystemExit(check_replicas(service))
    serve(service, flags, temporary)


def _interrupt(*_: object) -> None:
    """As Ctrl-C does it; not by sending INT, which a process that was started in the background ignores."""
    raise KeyboardInterrupt


def serve(service: Service, flags: argparse.Namespace, temporary: TempFolder | None) -> None:
    """Serve the page until Ctrl-C or TERM."""
    from demo.page import build_ui, launch_options
    from demo.vote.store import votes_file

    files = None if temporary is None else temporary.files
    page = build_ui(service, files, votes_file(flags.votes, is_open(flags)), is_open(flags))
    options: dict[str, Any] = launch_options(page)
    if flags.password:
        options["auth"] = (flags.user, flags.password)
    signal.signal(signal.SIGTERM, _interrupt)  # containers are ended by TERM
    try:
        page.launch(server_name=flags.host, server_port=flags.port, share=flags.share, **options)
    except OSError as error:  # while the model was loaded, another program took the port
        raise SystemExit(f"The page cannot be served at {flags.host}, port {flags.port}: {error}") from error
    finally:
        if temporary is not None:
            temporary.remove()


if __name__ == "__main__":
    main()
