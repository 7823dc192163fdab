"""``python -m tests.browser.live_speed``: how long *Live* takes, from a slider's event in the browser to the picture.

With the built-in model and its first example, on one thread. The parts are medians and do not add up exactly: ``sent``
is from the event to the server's handler, ``made`` the run, of which ``processor`` is the processor's time, ``packed``
the encoding of picture and maps, ``shown`` from there to the painted picture. ``--few-steps N`` measures a student for
N steps: the model's own weights in a student's place, whose time is the same.
"""

from __future__ import annotations

import argparse
import copy
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from statistics import median
from typing import Any

import torch
from playwright.sync_api import Page, sync_playwright

from demo.live import live_session
from demo.live.live_switch import LiveSwitch
from demo.page import build_ui
from mmdiff_core.backbones.toybox import student_of
from mmdiff_core.pipeline import Personalizer
from tests.browser.page import DESK, fill_example
from tests.helpers.chromium import find_chromium
from tests.helpers.stand_in import served_page

WATCH = """() => {
  window.painted = [];
  document.addEventListener("mmdiff-painted", () => window.painted.push(Date.now()));
}"""
MOVE = """(slider, value) => {
  const now = Date.now();
  slider.value = value;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
  return now;
}"""
PATIENCE = 120_000  # milliseconds
spans: dict[str, tuple[float, float, float]] = {}  # of the last call: begin, end, processor time, in milliseconds


def _timed(owner: Any, name: str) -> None:
    """Note when a function is called."""
    function: Callable[..., Any] = getattr(owner, name)

    @wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        began, worked = time.time(), time.thread_time()
        answer = function(*args, **options)
        spans[name] = (1000 * began, 1000 * time.time(), 1000 * (time.thread_time() - worked))
        return answer

    setattr(owner, name, call)


def _one_move(page: Page, value: float) -> dict[str, float]:
    known = page.evaluate("window.painted.length")
    moved = page.locator("#strength-1 input[type=range]").evaluate(MOVE, str(value))
    page.wait_for_function(f"window.painted.length > {known}", timeout=PATIENCE)
    painted = page.evaluate("window.painted.at(-1)")
    handler, run, packing = spans["answer"], spans["_picture"], spans["moved_frame"]
    parts = {"all": painted - moved, "sent": handler[0] - moved, "made": run[1] - run[0], "processor": run[2]}
    return parts | {"packed": packing[1] - packing[0], "shown": painted - packing[1]}


def main(arguments: list[str] | None = None) -> None:
    """Serve the page, move a slider so many times, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moves", type=int, default=20)
    parser.add_argument("--few-steps", type=int, metavar="N", help="as with a student for N steps")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for owner, name in ((LiveSwitch, "answer"), (live_session.LiveSession, "_picture"), (live_session, "moved_frame")):
        _timed(owner, name)
    model = Personalizer.from_assets()
    if args.few_steps:
        student = student_of(model.backbone, copy.deepcopy(model.backbone.unet), args.few_steps)
        model = Personalizer(replace(model.backbone, student=student), model.adapter, origin=model.origin)
    with served_page(build_ui(model)) as url, sync_playwright() as driver:
        page = driver.chromium.launch(executable_path=find_chromium()).new_page(**DESK)
        page.goto(url)
        page.locator("#left[inert]").wait_for(state="detached")
        fill_example(page)
        page.evaluate(WATCH)
        page.locator("#live .live-on").check()
        page.wait_for_function("window.painted.length", timeout=PATIENCE)
        rows = []
        for number in range(args.moves):
            page.wait_for_timeout(1500)  # the picture before is kept
            rows.append(_one_move(page, 0.4 + 0.05 * (number % 24)))
    lines = [f"{args.moves} moves, milliseconds; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"]
    for part in rows[0]:
        values = [row[part] for row in rows]
        lines.append(f"{part:10} median {median(values):6.0f}   least {min(values):6.0f}")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
