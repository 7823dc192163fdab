import assert from "node:assert/strict";
import test from "node:test";

import { load } from "./load.mjs";

const node = { addEventListener: () => {} };
const { stripSteps } = load(["viewer/timeline"], ["stripSteps"], { element: { querySelector: () => node }, WeakMap });

test("few steps have a cell each", () => {
  assert.deepEqual(Array.from(stripSteps(3)), [0, 1, 2]);
});

test("of many steps as many as fit have a cell, and the last is among them", () => {
  const steps = Array.from(stripSteps(100));
  assert.equal(steps.length, 24);
  assert.equal(new Set(steps).size, 24);
  assert.equal(steps.at(-1), 99);
});
