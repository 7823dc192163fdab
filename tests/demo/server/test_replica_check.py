from __future__ import annotations

import logging
from functools import lru_cache

import pytest

from demo.api import endpoints
from demo.page import build_ui, launch_options
from demo.server.limits import Limits
from demo.server.replica_check import check_replicas
from demo.server.service import Service
from mmdiff_core.generation.request_plan import Plan
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.types import GenerateRequest
from tests.helpers import tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Personalizer:
    return Personalizer.load(str(tiny.save_toybox(tmp_path_factory.mktemp("toybox"))))


def _check(service: Service) -> int:
    page = build_ui(service)
    return check_replicas(page, launch_options(page))


@pytest.mark.slow
def test_the_app_shares_nothing(model: Personalizer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert _check(Service(model, Limits())) == 0, caplog.text
    assert caplog.text.count("ok ") == 7


class Leaky(Service):
    """Writes on the model what it was asked for, as others do."""

    def plan(self, request: GenerateRequest) -> Plan:
        self.model.backbone.unet.scale = request.seeds[0]
        return super().plan(request)


@pytest.mark.slow
def test_what_is_left_on_the_model_is_found(model: Personalizer, caplog: pytest.LogCaptureFixture) -> None:
    assert _check(Leaky(model, Limits())) == 1
    assert "NOT the model's settings" in caplog.text


@pytest.mark.slow
def test_what_a_function_remembers_is_found(
    model: Personalizer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "render_toy", lru_cache(maxsize=64)(endpoints.render_toy))
    assert _check(Service(model, Limits())) == 1
    assert "NOT modules" in caplog.text
