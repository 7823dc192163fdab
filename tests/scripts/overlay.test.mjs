import assert from "node:assert/strict";
import test from "node:test";

import { load, mapOfRows, rowsOf } from "./load.mjs";

const { fine, greatest, outlineLevel } = load(["viewer/heatmap", "viewer/overlay"], ["fine", "greatest", "outlineLevel"]);

test("a coarse map is enlarged in its own shape, a fine one is not", () => {
  const coarse = fine(mapOfRows([[0, 1, 0], [1, 0, 1]]));
  assert.deepEqual([coarse.h, coarse.w], [64, 96]);
  const large = mapOfRows([Array.from({ length: 120 }, (_, i) => i)]);
  assert.equal(fine(large), large);
});

test("of several maps the strongest counts", () => {
  assert.deepEqual(rowsOf(greatest([mapOfRows([[0.25, 1]]), mapOfRows([[0.5, 0]])])), [[0.5, 1]]);
});

test("outlines run at the threshold, or in the middle", () => {
  assert.equal(outlineLevel({ threshold: 0.3 }), 0.3);
  assert.equal(outlineLevel({ threshold: 0 }), 0.5);
});
