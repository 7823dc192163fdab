"""What programs and language models read about the endpoints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from demo.api.api_schema import one_line_a_sentence, require_less
from tests.helpers.stand_in import StandIn, served

DOC = """Make a thing,
and another.

Args:
    first: What it is,
        in two lines.
    second: Short.

Returns:
    The thing:
    {"a": 1}.
"""


@pytest.fixture(scope="module")
def info() -> Iterator[dict[str, Any]]:
    with served(StandIn()) as url:
        yield httpx.get(f"{url}gradio_api/info", trust_env=False).json()["named_endpoints"]


def test_a_docstring_has_a_line_for_each_of_its_parts() -> None:
    assert [line.strip() for line in one_line_a_sentence(DOC).splitlines() if line.strip()] == [
        "Make a thing, and another.",
        *("Args:", "first: What it is, in two lines.", "second: Short."),
        *("Returns:", 'The thing: {"a": 1}.'),
    ]


def test_only_what_is_needed_is_required() -> None:
    file = {"type": "object", "required": ["path", "url", "orig_name", "meta"]}
    schema = {"items": [{"required": ["name", "strength"], "properties": {"photos": file}}]}
    require_less(schema, ("strength",))
    assert schema["items"][0]["required"] == ["name"]
    assert file["required"] == ["path"]


@pytest.mark.parametrize("name", ["/generate", "/attention"])
def test_a_subject_needs_a_name_and_photos_alone(name: str, info: dict[str, Any]) -> None:
    subjects = next(each for each in info[name]["parameters"] if each["parameter_name"] == "subjects")
    subject = subjects["type"]["items"]
    assert subject["required"] == ["name", "photos"]
    assert set(subject["properties"]) == {"name", "photos", "strength", "faces", "mix"}
    assert subject["properties"]["photos"]["items"]["required"] == ["path"]
