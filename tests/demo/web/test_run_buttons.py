"""Stop is answered by the browser itself."""

from __future__ import annotations

import gradio as gr

from demo.web.run_buttons import stop_on_click


def test_stop_says_so_without_the_server() -> None:
    with gr.Blocks() as page:
        start, stop = gr.Button(), gr.Button()
        stop_on_click(stop, start.click(lambda: None, None, stop))
    said = [each for each in page.config["dependencies"] if each["js"]]
    assert len(said) == 1
    assert not said[0]["backend_fn"]
    assert "stopping" in said[0]["js"]
    assert any(each["cancels"] for each in page.config["dependencies"])
