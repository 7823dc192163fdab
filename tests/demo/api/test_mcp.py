"""The endpoints as MCP tools, where the extra is installed, and a clear word where it is not."""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo.api import mcp
from demo.page import build_ui, launch_options
from tests.helpers.stand_in import StandIn, served

needs_extra = pytest.mark.skipif(importlib.util.find_spec("mcp") is None, reason='no MCP: pip install "gradio[mcp]"')


def test_nobody_asked() -> None:
    assert launch_options(build_ui(StandIn()))["mcp_server"] is False  # type: ignore[arg-type]


def test_a_missing_extra_is_said_and_the_page_is_served(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GRADIO_MCP_SERVER", "True")
    monkeypatch.setattr(mcp, "find_spec", lambda _: None)
    with caplog.at_level(logging.WARNING), served(StandIn()) as url:
        assert 'pip install "gradio[mcp]"' in caplog.text
        assert httpx.get(url).status_code == 200


@needs_extra
def test_tools_are_the_named_endpoints_and_take_photos(monkeypatch: pytest.MonkeyPatch, photo: str) -> None:
    monkeypatch.setenv("GRADIO_MCP_SERVER", "True")
    # In a thread of its own: a browser's test before may have left a loop in this one.
    with served(StandIn()) as url, ThreadPoolExecutor(1) as executor:
        tools, said = executor.submit(asyncio.run, _talk(f"{url}gradio_api/mcp/", photo)).result()
    assert set(tools) == {"generate", "attention", "inspect", "toy", "models"}
    assert tools["generate"].description.startswith("Make pictures of the subjects in the photos.")
    described = tools["generate"].inputSchema["properties"]
    assert all(described[name]["description"] for name in described)
    for name, tool in tools.items():
        for text in (tool.description, *(each["description"] for each in tool.inputSchema["properties"].values())):
            assert text.endswith((".", "]")), (name, text)  # whole, and no line taken for an item
            assert ",," not in text
            assert not re.search(r":,|\\w, (every|for each, step|where)", text), text
    assert set(tools["generate"].inputSchema["required"]) == {"prompt", "subjects"}
    assert described["subjects"]["items"]["required"] == ["name", "photos"]
    assert "unipc needs the fewest steps" in described["sampler"]["description"]
    assert "mm-diff-3.png" in said


async def _talk(url: str, photo: str) -> tuple[dict[str, Any], str]:
    """The tools by name, and what generate answers."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    inside = "data:image/png;base64," + base64.b64encode(Path(photo).read_bytes()).decode()
    cat = {"name": "cat", "photos": [inside], "strength": 1.0}
    async with streamablehttp_client(url) as (read, write, _), ClientSession(read, write) as session:
        await session.initialize()
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
        answer = await session.call_tool("generate", {"prompt": "a cat", "subjects": [cat], "seed": 3})
    return tools, "".join(getattr(part, "text", "") for part in answer.content)
