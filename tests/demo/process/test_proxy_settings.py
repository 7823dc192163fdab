"""Variables that name proxies, as the process finds them."""

from __future__ import annotations

import pytest

from demo.process.proxy_settings import prepare_proxies
from mmdiff_core.errors import SettingsError


@pytest.mark.parametrize("name", ["http_proxy", "HTTPS_PROXY", "all_proxy"])
def test_a_proxy_stays_out_of_what_this_machine_serves(name: str) -> None:
    environment = {name: "http://proxy.example:3128", "NO_PROXY": "intranet, 10.0.0.1"}
    assert prepare_proxies(["studio.local"], environment=environment) == []
    assert environment[name] == "http://proxy.example:3128"
    wanted = "intranet,10.0.0.1,127.0.0.1,localhost,studio.local"
    assert (environment["no_proxy"], environment["NO_PROXY"]) == (wanted, wanted)


def test_without_a_proxy_nothing_changes() -> None:
    environment = {"http_proxy": "", "HOME": "/root"}
    assert prepare_proxies(environment=environment) == []
    assert environment == {"http_proxy": "", "HOME": "/root"}


@pytest.mark.parametrize(
    ("proxy", "says"),
    [
        ("socks://me:secret@127.0.0.1:9", '"socks" is not a kind of proxy that is known here'),
        ("gopher://127.0.0.1:9", '"gopher" is not a kind'),
        ("http://127.0.0.1:many", "it is no address"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_told_and_forgotten(proxy: str, says: str) -> None:
    environment = {"ALL_PROXY": proxy}
    (sentence,) = prepare_proxies(environment=environment)
    assert says in sentence
    assert "ALL_PROXY" in sentence
    assert "secret" not in sentence
    assert "ALL_PROXY" not in environment


def test_where_the_network_is_needed_it_is_an_error() -> None:
    environment = {"all_proxy": "socks://127.0.0.1:9"}
    with pytest.raises(SettingsError, match="change or unset it"):
        prepare_proxies(needs_network=True, environment=environment)
