"""Makes Gradio's description of the endpoints whole: Gradio reads docstrings by lines, and requires every key."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.components.api_component import Api

SECTIONS = ("Args:", "Returns:")


def add_endpoint(function: Callable[..., Any], optional: tuple[str, ...] = (), **options: Any) -> None:
    """Add an endpoint to the page that is being built, as ``gr.api`` does.

    Args:
        function: its name and docstring are those of the endpoint and of the MCP tool.
        optional: the keys of records that programs may leave out.
        options: further ones of ``gr.api``.
    """
    function.__doc__ = one_line_a_sentence(inspect.getdoc(function) or "")
    block = gr.context.Context.root_block
    assert block is not None
    before = set(block.blocks)
    gr.api(function, **options)
    for number in set(block.blocks) - before:
        component = block.blocks[number]
        if isinstance(component, Api):
            require_less(component._api_info, optional)


def one_line_a_sentence(doc: str) -> str:
    """Put every paragraph, parameter and answer of a docstring on a line of its own."""
    lines: list[str] = []
    section, indent = "", 0
    for line in doc.splitlines():
        text, depth = line.strip(), len(line) - len(line.lstrip())
        if text in SECTIONS or not text or not lines or not lines[-1]:
            lines.append(line.rstrip())
            section, indent = (text, 0) if text in SECTIONS else (section, depth)
        elif (section == "Args:" and (indent == 0 or depth <= indent)) or (section and indent == 0):
            lines.append(line)
            indent = depth
        else:
            lines[-1] += f" {text}"
    return "\n".join(lines)


def require_less(schema: Any, optional: tuple[str, ...]) -> None:
    """Take keys out of what a JSON schema requires, in place; of an uploaded file, only the path is needed."""
    if isinstance(schema, list):
        for each in schema:
            require_less(each, optional)
    elif isinstance(schema, dict):
        required = schema.get("required")
        if isinstance(required, list):
            is_file = "orig_name" in required
            schema["required"] = [name for name in required if name not in optional and (not is_file or name == "path")]
        for each in schema.values():
            require_less(each, optional)
