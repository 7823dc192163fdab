"""A stand-in behind a service, and what it logs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from PIL import Image

from demo.server.event_log import JsonLines
from demo.server.limits import Limits
from demo.server.service import Service
from mmdiff_core.types import GenerateRequest, Subject
from tests.helpers.stand_in import StandIn

REQUEST = GenerateRequest("a secret cat", (Subject("cat", (Image.new("RGB", (8, 8)),)),), steps=3)


def served(model: Any = None, **limits: int) -> Service:
    return Service(model or StandIn(), Limits(**limits))


def facts(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(JsonLines().format(record)) for record in caplog.records]
