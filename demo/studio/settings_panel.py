"""The settings in groups: seeds, quality, binding, size, and the loaded model."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.components import Component

from demo.form.form import MAX_IMAGES, OWN_SAMPLER, Settings, typed_seed
from demo.form.sliders import fits_slider, slider
from demo.form.value_types import is_number
from demo.live.few_steps import FewSteps
from demo.web.events import QUIET, Update
from demo.web.i18n import text
from mmdiff_core.types import ALL_COMPONENTS, MAX_GUIDANCE, MAX_SEED, MAX_STEPS, Components

if TYPE_CHECKING:
    from demo.server.service import Service

PARTS = tuple(asdict(ALL_COMPONENTS))
SHARES = {"usual_steps": 1.0, "many_steps": 2.0}  # of the model's own number of steps
PRESETS = ("few_steps", *SHARES)
SAMPLER_TITLES = {
    "dpm++": "DPM++ 2M",
    "unipc": "UniPC",
    "euler": "Euler",
    "ddim": "DDIM",
    "sde": "DPM++ 2M SDE",
    "dpm++-karras": "DPM++ 2M Karras",
    "sde-karras": "DPM++ 2M SDE Karras",
    "euler-a": "Euler a",
    "heun": "Heun",
    "lcm": "LCM",
    "distilled": "Distilled",
}
NOISY = ("sde", "sde-karras", "euler-a", "lcm")  # samplers that add fresh noise at every step
# Gradio's own event for what is typed stays away after an update from the server; form_panel.js notes what was typed.
KEEPS_TYPED_SEED = """() => {
  const field = document.querySelector("#seed input");
  return field && field.dataset.typed === field.value ? false : { __type__: "update" };
}"""


def random_seed() -> int:
    """Return a random seed that is small enough to read aloud."""
    return secrets.randbelow(1_000_000)


class SettingsPanel:
    """The settings, with the model's defaults."""

    def __init__(self, service: Service) -> None:
        self.defaults, self.limits = service.defaults, service.limits
        self.few = FewSteps.of(service.defaults, service.fast, service.limits)
        self.max_steps = min(MAX_STEPS, self.limits.steps)
        self.sizes = service.sizes
        self.schedulers = service.backbone.schedulers
        self.max_clip_skip = service.backbone.max_clip_skip

    def render(self) -> None:
        """Make the components inside the current layout."""
        self.last_seed = gr.State(None)
        self.next_seed = gr.State(None)  # used once in place of a random one
        with gr.Accordion(text("settings"), open=False, elem_id="settings"):
            self._render_seeds()
            self._render_quality()
            self._render_binding()
            self._render_size()
            self._render_advanced()
            with gr.Column(elem_classes="group"):
                gr.HTML(text("group_model"), apply_default_css=False)
                gr.HTML(text("model_line"), elem_id="model", apply_default_css=False)
                gr.HTML(text("model_menu"), elem_id="models", elem_classes="section", apply_default_css=False)

    def _render_seeds(self) -> None:
        with gr.Column(elem_classes="group"):
            gr.HTML(text("group_seeds"), apply_default_css=False)
            with gr.Row(elem_classes="seed-row"):
                self.seed = gr.Textbox(label=text("seed"), value="0", max_lines=1, min_width=120, elem_id="seed")
                self.randomise = gr.Button(text("random"), size="md", min_width=90, scale=0, elem_id="random-seed")
                self.reuse = gr.Button(
                    text("reuse_last"), size="md", min_width=90, scale=0, interactive=False, elem_id="reuse"
                )
            self.fresh = gr.Checkbox(label=text("fresh_seed"), value=True, elem_id="fresh-seed")
            most = min(MAX_IMAGES, self.limits.pictures)
            self.pictures = slider(text("pictures"), 1, 1, most, 1, "pictures", info=text("pictures_info"))

    def _render_quality(self) -> None:
        with gr.Column(elem_classes="group"):
            gr.HTML(text("group_quality"), apply_default_css=False)
            with gr.Row(elem_classes="presets"):
                self.presets = {
                    key: gr.Button(text(key), size="md", min_width=90, elem_id=key.replace("_", "-"))
                    for key in PRESETS
                    if not (self.defaults.few and key == "few_steps")
                }
            with gr.Row():
                usual = self.defaults
                self.steps = slider(text("steps"), usual.steps, 1, self.max_steps, 1, "steps", info=text("steps_info"))
                self.guidance = slider(
                    text("guidance"), usual.guidance, 1, MAX_GUIDANCE, 0.1, "guidance", info=text("guidance_info")
                )
            self.sampler = gr.Radio(
                [(text("sampler_own"), OWN_SAMPLER), *((SAMPLER_TITLES[name], name) for name in self.schedulers)],
                value=OWN_SAMPLER,
                label=text("sampler"),
                info=text("sampler_help"),
                elem_id="sampler",
            )
            self.negative_prompt = gr.Textbox(
                label=text("avoid"),
                placeholder=text("avoid_like"),
                info=text("avoid_info"),
                max_lines=3,
                elem_id="negative-prompt",
            )

    def _render_binding(self) -> None:
        with gr.Column(elem_classes="group"):
            gr.HTML(text("group_binding"), apply_default_css=False)
            self.start_step = slider(
                text("delay"),
                self.defaults.start_step,
                0,
                self.max_steps // 2,
                1,
                "start-step",
                info=text("delay_info"),
            )
            self.own_delay = gr.State(None)  # steps and delay before few steps, while these are on
            self.delay_note = gr.HTML(
                text("delay_of_few_steps"), visible=False, elem_id="delay-note", apply_default_css=False
            )
            self.bound = slider(text("bound"), 0, 0, 1, 0.05, "bound", info=text("bound_info"))
            self.parts = gr.CheckboxGroup(
                [(text(f"part_{name}"), name) for name in PARTS],
                value=list(PARTS),
                label=text("parts"),
                info=text("parts_info"),
                elem_id="parts",
            )

    def _render_size(self) -> None:
        """The size, hidden where the model makes only one."""
        sizes, (width, height) = self.sizes, self.sizes.default
        limits = (sizes.smallest, sizes.largest, sizes.multiple)
        with gr.Column(visible=sizes.smallest < sizes.largest, elem_classes="group"):
            gr.HTML(text("group_size"), apply_default_css=False)
            with gr.Row(elem_classes="presets", elem_id="sizes"):
                self.shapes = {
                    size: gr.Button(f"{size[0]} × {size[1]}", size="md", min_width=110) for size in sizes.made_for
                }
            self.warning = gr.HTML(text("size_warning"), visible=False, elem_id="size-warning", apply_default_css=False)
            with gr.Accordion(text("other_sizes"), open=False, elem_id="other-sizes"):
                gr.HTML(text("other_sizes_help"), apply_default_css=False)
                with gr.Row():
                    self.width = slider(text("width"), width, *limits, "width")
                    self.height = slider(text("height"), height, *limits, "height")

    def _render_advanced(self) -> None:
        with gr.Column(elem_classes="group"):
            gr.HTML(text("group_advanced"), apply_default_css=False)
            with gr.Row():
                self.clip_skip = slider(
                    text("clip_skip"), 0, 0, self.max_clip_skip, 1, "clip-skip", info=text("clip_skip_info")
                )
                self.rescale = slider(
                    text("guidance_rescale"), 0, 0, 1, 0.05, "guidance-rescale", info=text("guidance_rescale_info")
                )
            self.balance = gr.Checkbox(
                label=text("balance_photos"), info=text("balance_photos_info"), value=False, elem_id="balance-photos"
            )

    def listen(self) -> None:
        """Set a random seed, the last seed or a preset on a click; a chosen seed stays."""
        self.randomise.click(lambda: (str(random_seed()), False), None, [self.seed, self.fresh], **QUIET)
        self.reuse.click(lambda seed: (str(seed), False), self.last_seed, [self.seed, self.fresh], **QUIET)
        self.seed.change(None, None, self.fresh, js=KEEPS_TYPED_SEED, **QUIET)  # at once: Ctrl+Enter may follow
        for size, button in self.shapes.items():
            button.click(partial(tuple, size), None, [self.width, self.height], **QUIET)
        sides = [self.width, self.height]
        gr.on([side.change for side in sides], self._warn, sides, self.warning, trigger_mode="always_last", **QUIET)
        held = [self.steps, self.start_step, self.own_delay]
        for key, button in self.presets.items():
            button.click(partial(self._preset, key), held, [*held, self.sampler, self.delay_note], **QUIET)
        stays = f"delay => ({{ __type__: 'update', ...(delay !== {self.few.start_step} && {{ visible: false }}) }})"
        self.start_step.change(None, self.start_step, self.delay_note, js=stays, **QUIET)

    @property
    def fields(self) -> tuple[Component, ...]:
        """Every component that a person fills in."""
        numbers = (self.pictures, self.steps, self.seed, self.fresh, self.guidance, self.start_step)
        others = (self.width, self.height, self.negative_prompt, self.sampler, self.bound, self.parts)
        return (*numbers, *others, self.clip_skip, self.rescale, self.balance)

    def read(self, values: Mapping[Component, Any]) -> Settings:
        """Read the fields."""
        chosen = values[self.parts] or ()
        return Settings(
            seed=typed_seed(values[self.seed]),
            pictures=values[self.pictures],
            steps=values[self.steps],
            guidance=values[self.guidance],
            start_step=values[self.start_step],
            width=values[self.width],
            height=values[self.height],
            negative_prompt=(values[self.negative_prompt] or "").strip(),
            parts=Components(**{name: name in chosen for name in PARTS}),
            sampler=None if values[self.sampler] == OWN_SAMPLER else values[self.sampler],
            binding=values[self.bound],
            clip_skip=values[self.clip_skip],
            guidance_rescale=values[self.rescale],
            balance_photos=bool(values[self.balance]),
        )

    def restore(self, record: Mapping[str, Any]) -> Update:
        """Put the settings of a record into the fields; what is absent or out of range is left out."""
        update: Update = {}
        for name, field in self._numbers().items():
            if fits_slider(field, record.get(name)):
                update[field] = record[name]
        seed = typed_seed(record.get("seed"))
        if is_number(seed) and 0 <= seed <= MAX_SEED and seed == int(seed):
            update |= {self.seed: str(int(seed)), self.fresh: record.get("fresh") is True}
        if isinstance(record.get("negative_prompt"), str):
            update[self.negative_prompt] = record["negative_prompt"]
        if "sampler" in record and record["sampler"] in (None, OWN_SAMPLER, *self.schedulers):
            update[self.sampler] = record["sampler"] or OWN_SAMPLER
        if isinstance(record.get("balance_photos"), bool):
            update[self.balance] = record["balance_photos"]
        parts = record.get("parts")
        if isinstance(parts, dict):
            update[self.parts] = [name for name in PARTS if parts.get(name, True)]
        return update

    def refused(self, record: Mapping[str, Any]) -> list[str]:
        """Return what of a record :meth:`restore` leaves out because no field can hold it."""
        wanted = {name: record[name] for name in (*self._numbers(), "sampler", "seed") if record.get(name) is not None}
        update = self.restore(wanted)
        fields = self._numbers() | {"sampler": self.sampler, "seed": self.seed}
        return [f"{name.replace('_', ' ')} {value}" for name, value in wanted.items() if fields[name] not in update]

    def ran(self, seed: int) -> Update:
        """Return the update when a run starts with this seed, which can be reused then."""
        return {self.last_seed: seed, self.reuse: gr.update(interactive=True)}

    def _numbers(self) -> dict[str, Component]:
        return {
            "pictures": self.pictures,
            "steps": self.steps,
            "guidance": self.guidance,
            "start_step": self.start_step,
            "width": self.width,
            "height": self.height,
            "binding": self.bound,
            "clip_skip": self.clip_skip,
            "guidance_rescale": self.rescale,
        }

    def _warn(self, width: float | None, height: float | None) -> Any:
        """Show the warning for a size that the weights were not made for."""
        return gr.update(visible=None not in (width, height) and (width, height) not in self.sizes.made_for)

    def _preset(
        self, key: str, steps: float | None, delay: float | None, own: tuple[float, float] | None
    ) -> tuple[int, int, tuple[float, float] | None, str, Any]:
        """Steps, delay and sampler of a preset: in proportion to the defaults, or the model's own for few steps.

        Few steps keep the delay that was there before, of which a note tells, and the next preset gives it back.

        Args:
            key: of the preset.
            steps: as they are.
            delay: as it is.
            own: steps and delay before few steps; None unless these are on.
        """
        if key == "few_steps":
            own = own or ((steps, delay) if steps and delay is not None else None)
            is_other = own is not None and own[1] != self.few.start_step
            sampler = self.few.scheduler or OWN_SAMPLER
            return self.few.steps, self.few.start_step, own, sampler, gr.update(visible=is_other)
        count = max(1, min(round(self.defaults.steps * SHARES[key]), self.limits.steps))
        kept = own if delay == self.few.start_step else None  # else it was changed since
        before, late = kept or (self.defaults.steps, self.defaults.start_step)
        return count, min(round(count * late / before), count), None, OWN_SAMPLER, gr.update(visible=False)
