"""The page: its tabs, and how it is served."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import gradio as gr
from gradio.i18n import I18nData
from starlette.middleware import Middleware

from demo.about import tab as about_tab
from demo.about.tab import AboutTab
from demo.api import endpoints, inspect_endpoint
from demo.api.mcp import mcp_server
from demo.compare.tab import CompareTab
from demo.server.health import health_route
from demo.server.limits import Limits
from demo.server.request_guard import RequestGuard
from demo.server.service import Model, Service
from demo.server.sessions import Page, Sessions, swept_regularly
from demo.studio import tab as studio_tab
from demo.studio.model_list import model_texts
from demo.studio.tab import StudioTab
from demo.viewer.example_picture import FOLDER, example_frame
from demo.vote.tab import VoteTab
from demo.web.first_paint import FirstPaint
from demo.web.head import head
from demo.web.i18n import languages, text
from demo.web.tabs import page_scripts
from demo.web.theme import STYLE_SHEETS, theme


class Tab(Protocol):
    """A tab of the page; ``place`` is set before it is rendered, for the event of its being opened."""

    title: I18nData
    place: gr.Tab

    def render(self) -> None:
        """Make the components inside the current layout."""

    def listen(self, page: gr.Blocks) -> None:
        """Connect them, once all tabs are rendered."""


def build_ui(
    model: Model | Service,
    temporary: Path | None = None,
    votes: Path | None = None,
    hosted: bool = False,
    example: Path | None = FOLDER,
) -> Page:
    """Build the page around a loaded model.

    Args:
        model: as it is, or as a service with limits of its own.
        temporary: the folder of temporary files where it is this page's alone; see :class:`Sessions`.
        votes: the file in which votes are kept; None: there is no Vote tab.
        example: the folder of the finished example; None: the page begins without one.
        hosted: it is a public page, on which no visitor may delete the answers of others.
    """
    service = model if isinstance(model, Service) else Service(model, Limits())
    studio = StudioTab(service, None if example is None else example_frame(example))
    compare = CompareTab(service, studio)
    tabs: list[Tab] = [studio, compare]
    if votes is not None:
        tabs.append(VoteTab(service, compare, votes, deletable=not hosted))
    tabs.append(AboutTab(service, studio.result))
    with Page(title="MM-Diff Studio", analytics_enabled=False, fill_width=True) as page:
        gr.HTML(text("masthead"), apply_default_css=False)
        with gr.Tabs(elem_id="tabs"):
            for tab in tabs:
                with gr.Tab(tab.title) as tab.place:
                    tab.render()
        gr.HTML(text("texts"), elem_id="texts", apply_default_css=False)
        for tab in tabs:
            tab.listen(page)
        endpoints.register(service)
        inspect_endpoint.register(service)
    page.service = service
    page.sessions = Sessions(60 * service.limits.keep_minutes, temporary)
    page.sessions.on_expiry.append(studio.result.histories.forget)
    page.queue(max_size=service.limits.queue, default_concurrency_limit=8)
    return page


def launch_options(page: Page) -> dict[str, Any]:
    """Return what ``Blocks.launch`` needs for the page wherever it is served."""
    limits, sessions = page.service.limits, page.sessions
    return {
        "theme": theme(),
        "css_paths": list(STYLE_SHEETS),
        "head": head(),
        "js": f"() => {{\n{page_scripts()}\n}}",
        "i18n": languages(studio_tab.TEMPLATES | about_tab.TEMPLATES, model_texts(page.service)),
        "footer_links": ["api", "settings"],
        "run_history": False,
        "enable_monitoring": False,
        "show_error": False,
        # Else launch requests the page once and gives up after three seconds, which a busy machine may need.
        "_frontend": False,
        "max_file_size": f"{limits.upload_mb}mb",
        "max_threads": limits.threads,
        "mcp_server": mcp_server(),
        "state_session_capacity": limits.sessions,
        "app_kwargs": {
            "routes": [health_route(page.service)],
            "middleware": [
                Middleware(RequestGuard, limits=limits, sessions=sessions, event_log=page.service.event_log),
                Middleware(FirstPaint),
            ],
            "lifespan": swept_regularly(sessions),
        },
    }
