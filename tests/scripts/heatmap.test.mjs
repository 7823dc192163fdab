import assert from "node:assert/strict";
import test from "node:test";

import { load, mapOfRows, rowsOf } from "./load.mjs";

const { resized, weightedMean, rangeOf, scaledMap, valueAt, inScale, summed } = load(
  ["viewer/heatmap"],
  ["resized", "weightedMean", "rangeOf", "scaledMap", "valueAt", "inScale", "summed"],
);

test("a map is enlarged bilinearly, with pixel centres where they are", () => {
  assert.deepEqual(rowsOf(resized(mapOfRows([[0, 1]]), 1, 4)), [[0, 0.25, 0.75, 1]]);
  const map = mapOfRows([[1, 2], [3, 4]]);
  assert.equal(resized(map, 2, 2), map);
});

test("what is drawn goes straight on beyond the middle of the outermost pixels", () => {
  assert.deepEqual(rowsOf(resized(mapOfRows([[0, 1]]), 1, 4, true)), [[-0.25, 0.25, 0.75, 1.25]]);
  assert.deepEqual(rowsOf(resized(mapOfRows([[2]]), 1, 2, true)), [[2, 2]]);
});

test("a mean is in the size of the finest map and follows the weights", () => {
  const parts = [{ map: mapOfRows([[0, 4]]), weight: 3 }, { map: mapOfRows([[8]]), weight: 1 }];
  assert.deepEqual(rowsOf(weightedMean(parts)), [[2, 5]]);
  assert.equal(weightedMean([]), null);
});

test("a range ends at the 99th percentile, between two values", () => {
  const { lo, hi, flat } = rangeOf(mapOfRows([[0, 0, 0, 0, 1]]));
  assert.equal(lo, 0);
  assert.ok(Math.abs(hi - 0.96) < 1e-9);
  assert.equal(flat, false);
});

test("a flat map is scaled to nothing", () => {
  assert.equal(rangeOf(mapOfRows([[1, 1.01]])).flat, true);
  assert.deepEqual(rowsOf(scaledMap(mapOfRows([[1, 1.01]]))), [[0, 0]]);
  assert.deepEqual(rowsOf(scaledMap(mapOfRows([[0, 0]]))), [[0, 0]]);
});

test("scaled values are from 0 to 1", () => {
  assert.deepEqual(rowsOf(scaledMap(mapOfRows([[2, 3, 4]]))), [[0, 0.5051, 1]]);
});

test("a value is read at a point of the picture, at its edges as well", () => {
  const map = mapOfRows([[1, 2], [3, 4]]);
  assert.equal(valueAt(map, 0.9, 0.1), 2);
  assert.equal(valueAt(map, 1, 1), 4);
});

const share = () => mapOfRows([[0.1, 0.3]]);
const words = () => mapOfRows([[0.2, 0.4]]);

test("the pieces of a word are added up", () => {
  assert.deepEqual(rowsOf(summed([share(), words()])), [[0.3, 0.7]]);
  assert.equal(summed([]), null);
  assert.equal(summed([share(), null]), null);
});

test("each scale tells something else of the same share", () => {
  const shown = (scale) => rowsOf(inScale(scale, share(), words(), 2, share()));
  assert.deepEqual(shown("share"), [[0.1, 0.3]]);
  assert.deepEqual(shown("among_words"), [[0.5, 0.75]]);
  assert.deepEqual(rowsOf(inScale("among_words", mapOfRows([[0.6, 0.1]]), words(), 2, null)), [[0.75, 0.2]]); // no word
  assert.deepEqual(shown("contrast"), [[0, 0.1]]);
  assert.deepEqual(shown("z"), [[-1, 1]]);
  assert.deepEqual(rowsOf(inScale("z", mapOfRows([[0.2, 0.2]]), words(), 2)), [[0, 0]]); // the same all over: no peak
});
