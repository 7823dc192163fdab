"""The variables that name proxies, such as ``http_proxy``, before anything reads them.

Gradio asks its own page whether it is up, and a proxy has no part in that. Its client also refuses to start where one
of the variables names a proxy that it cannot use, though the page needs no network.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, MutableMapping

import httpx

from mmdiff_core.errors import SettingsError

VARIABLES = ("http_proxy", "https_proxy", "all_proxy")
EXCEPT_FOR = "no_proxy"
OWN_HOSTS = ("127.0.0.1", "localhost")


def prepare_proxies(
    hosts: Iterable[str] = (), needs_network: bool = False, environment: MutableMapping[str, str] = os.environ
) -> list[str]:
    """Let no proxy stand between the process and its own page, and forget proxies that cannot be used.

    Args:
        hosts: further names of this machine.
        needs_network: whether the page is of no use without the network; then such a proxy is an error.
        environment: is changed.

    Returns:
        A sentence about each proxy that is forgotten.

    Raises:
        SettingsError: the network is needed, and a variable names a proxy that cannot be used.
    """
    given = {name: value for name, value in environment.items() if name.lower() in VARIABLES and value}
    if not given:
        return []
    forgotten = []
    for name, value in given.items():
        if (reason := _unusable(value)) is None:
            continue
        if needs_network:
            raise SettingsError(
                f"The proxy that the variable {name} names cannot be used ({reason}): change or unset it."
            )
        forgotten.append(f"The proxy that the variable {name} names cannot be used ({reason}); the page does without.")
        del environment[name]
    _leave_out([*OWN_HOSTS, *hosts], environment)
    if not _starts(environment):
        raise SettingsError(
            f"The variable {EXCEPT_FOR} cannot be read: write hosts with commas between them, or unset it."
        )
    return forgotten


def _leave_out(hosts: Iterable[str], environment: MutableMapping[str, str]) -> None:
    """Add hosts to those that are asked without a proxy; programs read the variable in either case."""
    names = [name for name in environment if name.lower() == EXCEPT_FOR]
    known = [host.strip() for name in names for host in environment[name].split(",") if host.strip()]
    wanted = ",".join(dict.fromkeys([*known, *hosts]))
    for name in {EXCEPT_FOR, EXCEPT_FOR.upper()}:
        environment[name] = wanted


def _unusable(proxy: str) -> str | None:
    """Return why a proxy cannot be used, without its address, which may have a password; None if it can."""
    try:
        httpx.Client(proxy=proxy if "://" in proxy else f"http://{proxy}", trust_env=False).close()
    except ImportError:
        return "SOCKS needs the package socksio"
    except ValueError:
        return f'"{proxy.partition("://")[0]}" is not a kind of proxy that is known here'
    except httpx.InvalidURL:
        return "it is no address"
    return None


def _starts(environment: MutableMapping[str, str]) -> bool:
    """Return whether a client can be made; it reads the variables of this process."""
    if environment is not os.environ:
        return True
    try:
        httpx.Client().close()
    except (ImportError, ValueError, httpx.InvalidURL):
        return False
    return True
