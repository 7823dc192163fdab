import assert from "node:assert/strict";
import test from "node:test";

import { load, mapOfRows } from "./load.mjs";

const NAMES = ["outlineLevel", "distanceTo", "overlayPixels", "fitCanvas"];
const scripts = ["viewer/heatmap", "viewer/palettes", "viewer/overlay"];
const { outlineLevel, distanceTo, overlayPixels, fitCanvas } = load(scripts, NAMES, { window: { devicePixelRatio: 2 } });

test("on a ramp a pixel knows how far the level is", () => {
  const ramp = mapOfRows([[0, 0.25, 0.5, 0.75], [0, 0.25, 0.5, 0.75]]);
  assert.deepEqual([0, 1, 2, 3, 5].map((at) => distanceTo(0.5, ramp, at)), [2, 1, 0, 1, 1]);
});

test("what attends to nothing is grey, whatever colour it had", () => {
  const layer = { map: mapOfRows([[0, 1]]), colour: "#0072B2" };
  const style = { opacity: 1, threshold: 0, palette: "subject", outline: false };
  const [red, green, blue, , , , peak] = overlayPixels([20, 90, 220, 255, 20, 90, 220, 255], 2, 1, [layer], style);
  assert.ok(Math.abs(red - green) < 1e-3 && Math.abs(green - blue) < 1e-3);
  assert.ok(peak > blue + 20);
});

test("a canvas has the screen's pixels, but not more than can be drawn at once", () => {
  const sizes = [[300, 96, 96], [300, 96, 48], [900, 512, 1024]].map(([clientWidth, naturalWidth, naturalHeight]) => {
    const canvas = {};
    fitCanvas(canvas, { clientWidth, naturalWidth, naturalHeight });
    return [canvas.width, canvas.height];
  });
  assert.deepEqual(sizes, [[600, 600], [600, 300], [512, 1024]]);
});

test("outlines run at the threshold, or in the middle", () => {
  assert.equal(outlineLevel({ threshold: 0.3 }), 0.3);
  assert.equal(outlineLevel({ threshold: 0 }), 0.5);
});
