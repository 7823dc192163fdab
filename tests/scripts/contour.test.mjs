import assert from "node:assert/strict";
import test from "node:test";

import { load, mapOfRows } from "./load.mjs";

const { contourLines } = load(["viewer/contour"], ["contourLines"]);

/** How often each end of a line occurs; the ends of closed lines meet. */
function ends(lines) {
  const counts = new Map();
  for (const [x1, y1, x2, y2] of lines) {
    for (const end of [`${x1.toFixed(6)},${y1.toFixed(6)}`, `${x2.toFixed(6)},${y2.toFixed(6)}`]) {
      counts.set(end, (counts.get(end) ?? 0) + 1);
    }
  }
  return [...counts.values()];
}

test("a peak is surrounded by one closed line", () => {
  const lines = contourLines(mapOfRows([[0, 0, 0], [0, 1, 0], [0, 0, 0]]), 0.5);
  assert.equal(lines.length, 4);
  assert.deepEqual(new Set(ends(lines)), new Set([2]));
  for (const [x, y] of lines) assert.ok(Math.abs(Math.hypot(x - 0.5, y - 0.5) - 0.5 / 3) < 1e-6);
});

test("a line stays inside the picture where a map is high at its border", () => {
  const lines = contourLines(mapOfRows([[1, 1], [0, 0]]), 0.5);
  assert.ok(lines.length > 0);
  assert.ok(lines.flat().every((part) => part >= 0 && part <= 1));
});

test("nothing crosses a level that no value reaches", () => {
  assert.equal(contourLines(mapOfRows([[0, 0.2], [0.1, 0.3]]), 0.5).length, 0);
});
