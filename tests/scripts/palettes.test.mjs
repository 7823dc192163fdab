import assert from "node:assert/strict";
import test from "node:test";

import { load } from "./load.mjs";

const { rgbOf, paletteColour, paletteGradient } = load(["viewer/palettes"], ["rgbOf", "paletteColour", "paletteGradient"]);

test("a hex colour is three numbers", () => {
  assert.deepEqual(Array.from(rgbOf("#E69F00")), [230, 159, 0]);
});

test("a palette begins and ends at its own colours and stays there", () => {
  assert.deepEqual(Array.from(paletteColour("viridis", 0)), Array.from(rgbOf("#440154")));
  assert.deepEqual(Array.from(paletteColour("viridis", 1)), Array.from(rgbOf("#fde725")));
  assert.deepEqual(Array.from(paletteColour("inferno", 7)), Array.from(paletteColour("inferno", 1)));
  assert.deepEqual(Array.from(paletteColour("inferno", -1)), Array.from(paletteColour("inferno", 0)));
});

test("between two colours lies their mean", () => {
  const [one, two] = [0, 1 / 16].map((strength) => paletteColour("viridis", strength));
  const between = paletteColour("viridis", 1 / 32);
  for (const channel of [0, 1, 2]) assert.ok(Math.abs(between[channel] - (one[channel] + two[channel]) / 2) < 1e-9);
});

test("a gradient has the palette's colours, or the subject's alone", () => {
  assert.match(paletteGradient("inferno"), /^linear-gradient\(to right, #000004, .*#fcffa4\)$/);
  assert.equal(paletteGradient("subject", "#123456"), "linear-gradient(to right, transparent, #123456)");
});
