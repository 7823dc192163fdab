"""How the picture is made: number, seed, steps, guidance, delay, size, what to avoid."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.components import Component

from demo.form import MOST_PICTURES, MOST_SEED, Settings
from demo.panels import QUIET

if TYPE_CHECKING:
    from mmdiff_core.pipeline import Personalizer


def random_seed() -> int:
    """Small enough to be read aloud."""
    return secrets.randbelow(1_000_000)


class SettingsPanel:
    """The numbers of a generation, with the model's own defaults."""

    def __init__(self, personalizer: Personalizer) -> None:
        self.defaults = personalizer.defaults
        self.sizes = personalizer.sizes

    def render(self) -> None:
        """Make the components inside the current layout."""
        with gr.Accordion("Settings", open=False, elem_id="settings"):
            with gr.Row():
                self.pictures = gr.Slider(1, MOST_PICTURES, value=1, step=1, label="Pictures", elem_id="pictures")
                self.steps = gr.Slider(1, 100, value=self.defaults.steps, step=1, label="Steps", elem_id="steps")
            self._render_seed()
            with gr.Row():
                self.guidance = gr.Slider(
                    1,
                    15,
                    value=self.defaults.guidance,
                    step=0.1,
                    label="Guidance",
                    info="How strictly the prompt is followed.",
                    elem_id="guidance",
                )
                self.start_step = gr.Slider(
                    0,
                    50,
                    value=self.defaults.start_step,
                    step=1,
                    label="Delay",
                    info="Steps of plain text before the photos join.",
                    elem_id="start-step",
                )
            self._render_size()
            self.negative_prompt = gr.Textbox(
                label="Avoid",
                placeholder="blurry, dark",
                info="Negative prompt: what the picture should not show.",
                max_lines=3,
                elem_id="negative-prompt",
            )

    def _render_seed(self) -> None:
        with gr.Row(elem_classes="seed-row"):
            self.seed = gr.Number(
                label="Seed", value=0, precision=0, minimum=0, maximum=MOST_SEED, min_width=120, elem_id="seed"
            )
            self.dice = gr.Button("Random", size="md", min_width=90, scale=0, elem_id="dice")
            self.fresh = gr.Checkbox(label="New seed each time", value=True, min_width=160, elem_id="fresh-seed")

    def _render_size(self) -> None:
        """Hidden where the model makes only one size."""
        sizes, (width, height) = self.sizes, self.sizes.default
        limits: dict[str, Any] = {"minimum": sizes.smallest, "maximum": sizes.largest, "step": sizes.multiple}
        with gr.Row(visible=sizes.smallest < sizes.largest):
            self.width = gr.Slider(value=width, label="Width", elem_id="width", **limits)
            self.height = gr.Slider(value=height, label="Height", elem_id="height", **limits)

    def listen(self) -> None:
        """The die beside the seed; rolling it keeps the number until it is rolled again."""
        self.dice.click(lambda: (random_seed(), False), None, [self.seed, self.fresh], **QUIET)
        self.seed.input(lambda: False, None, self.fresh, **QUIET)

    @property
    def fields(self) -> tuple[Component, ...]:
        """Every component that holds what the person gave."""
        numbers = (self.pictures, self.steps, self.seed, self.fresh, self.guidance, self.start_step)
        return (*numbers, self.width, self.height, self.negative_prompt)

    def read(self, values: Mapping[Component, Any]) -> Settings:
        """The settings as they stand."""
        return Settings(
            seed=values[self.seed],
            pictures=values[self.pictures],
            steps=values[self.steps],
            guidance=values[self.guidance],
            start_step=values[self.start_step],
            width=values[self.width],
            height=values[self.height],
            negative_prompt=(values[self.negative_prompt] or "").strip(),
        )
