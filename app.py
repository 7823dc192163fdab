"""MM-Diff Studio in the browser: ``python app.py``, then http://127.0.0.1:7860."""

from __future__ import annotations

from demo.process.end_signals import exit_on_signals
from demo.process.quick_imports import quick_imports
from demo.server.launch import is_public, load_service, parse_flags, prepare, serve


def main(arguments: list[str] | None = None) -> None:
    """Read the flags, load the model, build the page and serve it."""
    flags = parse_flags(arguments)
    limits, temp_folder = prepare(flags)
    with quick_imports():  # only now: Gradio reads its settings when it is imported
        from demo.page import build_ui, launch_options
        from demo.vote.store import votes_file
    service = load_service(flags, limits)

    public = is_public(flags)
    page = build_ui(service, temp_folder and temp_folder.files, votes_file(flags.votes, public), public)
    serve(page, launch_options(page), flags, temp_folder)


if __name__ == "__main__":
    exit_on_signals()
    main()
