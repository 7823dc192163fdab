"""What /healthz answers."""

from __future__ import annotations

from demo.server.health import service_state
from tests.helpers.services import REQUEST, served


def test_health_tells_when_work_has_not_gone_on() -> None:
    service = served(run_seconds=400)
    steps = service.generate(REQUEST)
    next(iter(steps))
    assert (service_state(service)["status"], service.monitor.running) == ("ok", 1)
    service.monitor.advanced -= 399
    assert service_state(service)["status"] == "ok"
    service.monitor.advanced -= 2
    assert service_state(service)["status"] == "stuck"
    steps.close()  # type: ignore[attr-defined]
    assert (service_state(service)["status"], service.monitor.running, service.monitor.finished) == ("ok", 0, 1)
