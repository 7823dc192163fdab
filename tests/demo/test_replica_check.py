from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import lru_cache

import pytest

from demo import replica_check
from demo.api import endpoints
from demo.server.limits import Limits
from demo.server.service import Service
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.results import Step
from mmdiff_core.types import GenerateRequest
from tests.helpers import tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Personalizer:
    return Personalizer.load(str(tiny.save_toybox(tmp_path_factory.mktemp("toybox"))))


def test_the_app_shares_nothing(model: Personalizer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert replica_check.check_replicas(Service(model, Limits())) == 0, caplog.text
    assert caplog.text.count("ok ") == 7


class Leaky(Service):
    """Writes on the model what it was asked for, as others do."""

    def generate(self, request: GenerateRequest) -> Iterator[Step]:
        self.model.backbone.unet.scale = request.seeds[0]
        return super().generate(request)


def test_what_is_left_on_the_model_is_found(model: Personalizer, caplog: pytest.LogCaptureFixture) -> None:
    assert replica_check.check_replicas(Leaky(model, Limits())) == 1
    assert "NOT the model's settings" in caplog.text


def test_what_a_function_remembers_is_found(
    model: Personalizer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "render_toy", lru_cache(maxsize=64)(endpoints.render_toy))
    assert replica_check.check_replicas(Service(model, Limits())) == 1
    assert "NOT modules" in caplog.text
