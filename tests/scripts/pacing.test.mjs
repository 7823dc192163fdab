import assert from "node:assert/strict";
import test from "node:test";

import { load } from "./load.mjs";

test("what cannot be done as often as it is asked for leaves the page half of its time", () => {
  const [clock, queue] = [{ time: 0 }, []];
  const later = (run, wait = 0) => queue.push([clock.time + wait, run]);
  const frames = { now: () => clock.time, later, painted: (run) => run() };
  const { paced } = load(["viewer/pacing"], ["paced"], { clearTimeout: () => {}, frames });
  const began = [];
  const { soon } = paced(() => {
    began.push(clock.time);
    clock.time += 30;
  }, frames);
  for (let asked = 0; asked < 300; asked += 10) {
    clock.time = Math.max(clock.time, asked);
    soon();
    for (let at = queue.findIndex(([due]) => due <= clock.time); at >= 0; at = queue.findIndex(([due]) => due <= clock.time)) {
      queue.splice(at, 1)[0][1]();
    }
  }
  assert.ok(began.length >= 4 && began.length <= 6, `${began}`);
  assert.ok(began.every((time, i) => !i || time - began[i - 1] >= 60), `${began}`);
});
