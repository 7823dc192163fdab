"""Reads the flags of ``app.py``, loads the model that they name, and serves the page."""

from __future__ import annotations

import argparse
import atexit
import logging
import os
import socket
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo.process.end_signals import cut_off, wait_for_signal
from demo.process.proxy_settings import prepare_proxies
from demo.process.temp_folder import TempFolder
from demo.server.limits import Limits, add_limit_flags, is_hosted, lends_gpus, limits_from
from demo.server.model_variables import DESCRIPTION, fetch_models, with_variables
from mmdiff_core.cli.aliases import MODEL_FLAGS, rename_flags
from mmdiff_core.cli.model_flags import BUILT_IN, add_model_flags, load_from_flags
from mmdiff_core.errors import CheckpointError, MMDiffError, ModelError, SettingsError

if TYPE_CHECKING:
    from demo.server.service import Service
    from demo.server.sessions import Page
    from mmdiff_core.pipeline import Personalizer

logger = logging.getLogger("mmdiff")

OWN_TAB = (
    "If this form comes back although the password is right, {link}open the page in its own tab{end}.",
    "Wenn dieses Formular trotz richtigem Passwort wiederkommt, {link}öffne die Seite in einem eigenen Tab{end}.",
    "Si este formulario vuelve aunque la contraseña sea correcta, {link}abre la página en su propia pestaña{end}.",
    "如果密码正确但此表单再次出现，请{link}在单独的标签页中打开页面{end}。",
)
RUN_ENDS_WITHIN_S = 8.0  # two less than Docker waits


def parse_flags(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; a Space sets the defaults with GRADIO_SERVER_NAME and GRADIO_SERVER_PORT."""
    parser = argparse.ArgumentParser(
        prog="app.py", description="Personalised images in the browser, with a heatmap per subject."
    )
    parser.add_argument(
        "--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"), help="the address to serve the page "
        "at; 127.0.0.1, the default, is reached from this machine alone, 0.0.0.0 from others as well",
    )  # fmt: skip
    parser.add_argument(
        "--port", type=_port, default=os.environ.get("GRADIO_SERVER_PORT") or "7860", help="the port of the page; 7860"
    )
    parser.add_argument("--share", action="store_true", help="also make a public link through Gradio's servers")
    add_host_flags(parser)
    parser.add_argument(
        "--votes",
        metavar="FILE",
        help="the file for the answers of the Vote tab, or off; the default is MMDIFF_VOTES, else a file in your data "
        "folder, or off on a public page",
    )
    add_model_flags(parser, DESCRIPTION)
    add_limit_flags(parser)
    given = rename_flags(sys.argv[1:] if arguments is None else arguments, MODEL_FLAGS)
    try:
        return parser.parse_args(with_variables(given))
    except argparse.ArgumentTypeError as error:
        parser.error(str(error))


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(
            f'the port (--port or GRADIO_SERVER_PORT) must be a whole number from 1 to 65535, but is "{text}"'
        )
    return int(text)


def check_address(host: str, port: int) -> None:
    """Check, before the model is loaded, that the page can be served at an address.

    Raises:
        SettingsError: another program uses the port, or this machine does not have the address.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
            probe.bind(address)
    except OSError as error:
        raise SettingsError(
            f"The page cannot be served at {host}, port {port} ({error.strerror}): choose others with --host and "
            "--port, or with GRADIO_SERVER_NAME and GRADIO_SERVER_PORT."
        ) from error


def add_host_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags for a page that other people can reach."""
    environment, group = os.environ, parser.add_argument_group("hosting")
    group.add_argument(
        "--hosted", action="store_true", help="the page is public: stricter limits and a JSON log; implied on a Space "
        "and by MMDIFF_HOSTED=1",
    )  # fmt: skip
    group.add_argument(
        "--password", default=environment.get("MMDIFF_PASSWORD"), help="ask visitors for this password; prefer "
        "MMDIFF_PASSWORD, because other accounts on the machine can read flags",
    )  # fmt: skip
    group.add_argument(
        "--user", default=environment.get("MMDIFF_USER", "guest"), help="the user name that goes with the password"
    )
    group.add_argument(
        "--log", choices=("text", "json"), default=environment.get("MMDIFF_LOG"), help="the format of the log"
    )
    group.add_argument(
        "--log-words", action="store_true", default=environment.get("MMDIFF_LOG_WORDS") == "1", help="also log "
        "prompts and the names of subjects",
    )  # fmt: skip
    group.add_argument(
        "--share-nothing", action="store_true", help="do not serve; check that the process keeps no state outside its "
        "sessions, so that replicas can share a load balancer",
    )  # fmt: skip


def is_public(flags: argparse.Namespace) -> bool:
    """Return whether anyone but the person who started the app can reach the page."""
    return flags.hosted or flags.share or is_hosted()


def prepare(flags: argparse.Namespace) -> tuple[Limits, TempFolder | None]:
    """Check the flags and set up what must be ready before Gradio and CUDA are imported.

    Returns:
        The limits, and the folder for temporary files; None if GRADIO_TEMP_DIR names another one.

    Raises:
        SystemExit: a limit or a proxy is not valid, or the address is in use; the message says what to do.
    """
    hosted = flags.hosted or is_hosted()
    try:
        limits = limits_from(flags, hosted)
        if not flags.share_nothing:
            check_address(flags.host, flags.port)
        without = prepare_proxies([flags.host], needs_network=flags.share)
    except SettingsError as error:
        raise SystemExit(f"{error}") from error
    temp_folder = set_environment()
    if temp_folder is not None:
        atexit.register(temp_folder.remove)  # a signal may come while the model is loaded
    from demo.server.event_log import set_up_logging  # imports Gradio

    set_up_logging(flags.log or ("json" if hosted else "text"))
    for sentence in without:
        logger.warning(sentence)
    return limits, temp_folder


def set_environment() -> TempFolder | None:
    """Set the variables that Gradio and the hub's client read; return the folder for temporary files if it is ours."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault(
        "GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000000"
    )  # otherwise every event builds a table of all events
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # on import it reports missing extras
    if lends_gpus():
        import spaces  # noqa: F401  (before CUDA)
    if os.environ.get("GRADIO_TEMP_DIR"):
        return None
    folder = TempFolder()
    os.environ["GRADIO_TEMP_DIR"] = str(folder.files)
    return folder


def load_service(flags: argparse.Namespace, limits: Limits) -> Service:
    """Load the model for visitors, to run on lent GPUs where the host lends them.

    Raises:
        SystemExit: the model cannot be loaded; the message says what to do.
    """
    from demo.server.event_log import EventLog
    from demo.server.service import Service
    from demo.server.zero_gpu import place_on_loan, run_on_loan
    from mmdiff_core.backbones.loading import quiet_libraries

    quiet_libraries()
    logger.info("Loading the model %s ...", flags.base or flags.model)
    event_log = EventLog(flags.log_words)
    try:
        if not lends_gpus():
            return Service(_with_public_source(load_model(flags), flags), limits, event_log)
        precise = "float16" if flags.dtype == "auto" else flags.dtype
        on_cpu = argparse.Namespace(**{**vars(flags), "device": "cpu", "offload": "none", "dtype": precise})
        model = _with_public_source(place_on_loan(load_model(on_cpu)), flags, device="cuda")
        return Service(model, limits, event_log, run=run_on_loan(model))
    except MMDiffError as error:
        raise SystemExit(f"{error}") from error


def load_model(flags: argparse.Namespace) -> Personalizer:
    """Load the model that the flags name, or the built-in one if that is missing or damaged.

    Raises:
        MMDiffError: the model cannot be loaded; the message says what to do.
    """
    try:
        fetch_models(flags)
        return load_from_flags(flags)
    except (ModelError, CheckpointError) as error:
        mistyped = isinstance(error, CheckpointError) and not Path(flags.adapter or "").exists()
        if mistyped or (flags.base is None and flags.adapter is None):
            raise
        logger.warning("%s The built-in model is used instead.", error)
        built_in = {"base": None, "model": BUILT_IN, "adapter": None, "text_encoder_2_lora": False}
        return load_from_flags(argparse.Namespace(**{**vars(flags), **built_in}))


def _with_public_source(model: Personalizer, flags: argparse.Namespace, device: str | None = None) -> Personalizer:
    """Hide the model's folders from visitors to a public page, and record the device that makes the images."""
    if model.origin is not None:
        origin = model.origin.without_folders() if is_public(flags) else model.origin
        model.origin = replace(origin, device=device or origin.device)
    return model


def login_message(environment: Mapping[str, str]) -> str | None:
    """Return what the login form of a Space says: in its frame, browsers that block cookies show it for ever."""
    if not (address := environment.get("SPACE_HOST")):
        return None
    link = f'<a href="https://{address}" target="_blank" rel="noopener" style="text-decoration: underline">'
    return "<br>".join(sentence.format(link=link, end="</a>") for sentence in OWN_TAB)


def serve(page: Page, options: dict[str, Any], flags: argparse.Namespace, temp_folder: TempFolder | None) -> None:
    """Serve the page until Ctrl-C, TERM or HUP; with ``--share-nothing``, only check it.

    Raises:
        SystemExit: another program has taken the port, or the check is done.
    """
    if flags.share_nothing:
        from demo.server.replica_check import check_replicas

        raise SystemExit(check_replicas(page, options))
    if flags.password:
        options |= {"auth": (flags.user, flags.password), "auth_message": login_message(os.environ)}
    try:
        page.launch(
            server_name=flags.host,
            server_port=flags.port,
            share=flags.share,
            prevent_thread_lock=True,
            quiet=True,  # Gradio names its own flags, such as share=True
            **options,
        )
        if mcp_error := getattr(page, "mcp_error", None):
            logger.warning(mcp_error)
        logger.info("The page is ready: open %s in a browser. Ctrl+C ends it.", page.local_url)
        wait_for_signal()
    except OSError as error:  # another program took the port while the model was loading
        raise SystemExit(f"The page cannot be served at {flags.host}, port {flags.port}: {error}") from error
    finally:
        _end(page, temp_folder)


def _end(page: Page, temp_folder: TempFolder | None) -> None:
    """End what runs, close the page and remove the temporary files, whatever happens to one of them."""
    ended = False
    with ExitStack() as last:
        last.callback(lambda: None if ended else cut_off())
        if temp_folder is not None:
            last.callback(temp_folder.remove)
        if (server := getattr(page, "server", None)) is not None:
            last.callback(page.close, verbose=False)
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # it complains of what is cut off
            server.config.timeout_graceful_shutdown = 0  # tabs hold connections open as long as they are there
        ended = page.service.end_runs(RUN_ENDS_WITHIN_S)  # first: the server takes the steps out of a run
