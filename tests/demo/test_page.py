"""The page without a browser: what its events do, and what it offers to programs."""

from __future__ import annotations

from demo.page import build_ui, launch_options
from tests.helpers.stand_in import StandIn

# ---------------------------------------------------------------- records


def test_only_named_endpoints_are_public_and_one_model_runs_at_a_time() -> None:
    functions = build_ui(StandIn()).fns.values()
    public = {fn.api_name: fn for fn in functions if fn.api_visibility == "public"}
    assert set(public) == {"generate", "attention", "inspect", "toy", "models"}
    heavy = [fn for fn in functions if fn.concurrency_id == "generation"]
    assert len(heavy) == 5
    assert {fn.concurrency_limit for fn in heavy} == {1}


def test_nothing_is_kept_or_counted() -> None:
    page = build_ui(StandIn())
    assert launch_options(page)["run_history"] is False
    assert page.analytics_enabled is False
