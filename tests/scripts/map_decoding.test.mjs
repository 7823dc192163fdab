import assert from "node:assert/strict";
import test from "node:test";

import { load, rowsOf } from "./load.mjs";

const { groupsOf, mapOf, ALL } = load(["viewer/heatmap", "viewer/map_decoding"], ["groupsOf", "mapOf", "ALL"], { WeakMap });

const base64 = (array) => Buffer.from(array.buffer).toString("base64");

/** A group of maps whose bytes stand for values from 0 to 255; `maps` has a list of bytes per step, subject and head. */
function group(maps, { layer = "", heads = 1, layers = 1, steps = [0], h = 1, w = 2 } = {}) {
  const ranges = new Float32Array(maps.flatMap(() => [0, 255]));
  return { h, w, layer, layers, heads, steps, data: base64(Uint8Array.from(maps.flat())), ranges: base64(ranges) };
}

test("a map is read at its step and of its subject", () => {
  const packed = { steps: 2, kinds: { text: [group([[0, 10], [20, 30], [40, 50], [60, 70]], { steps: [0, 1] })] } };
  assert.equal(groupsOf(packed, "text")[0].subjects, 2);
  assert.deepEqual(rowsOf(mapOf(packed, "text", 1, { step: 0 })), [[20, 30]]);
  assert.deepEqual(rowsOf(mapOf(packed, "text", 0, { step: ALL })), [[20, 30]]);
});

test("a head is read alone, and all of them as their mean", () => {
  const packed = { steps: 1, kinds: { image: [group([[0, 2], [4, 6]], { layer: "mid", heads: 2 })] } };
  assert.deepEqual(rowsOf(mapOf(packed, "image", 0, { head: 1 })), [[4, 6]]);
  assert.deepEqual(rowsOf(mapOf(packed, "image", 0)), [[2, 4]]);
});

test("a size of layers or a single layer is read alone, and all as their mean by the number of layers", () => {
  const fine = group([[0, 10]], { layers: 3 });
  const coarse = group([[20]], { layer: "mid", w: 1 });
  const packed = { steps: 1, kinds: { text: [fine, coarse] } };
  assert.deepEqual(rowsOf(mapOf(packed, "text", 0, { size: "2 × 1" })), [[0, 10]]);
  assert.deepEqual(rowsOf(mapOf(packed, "text", 0, { size: "mid" })), [[20]]);
  assert.deepEqual(rowsOf(mapOf(packed, "text", 0)), [[5, 12.5]]);
});

test("what was not recorded is no map", () => {
  const packed = { steps: 2, kinds: { image: [group([[1, 2]], { steps: [1] })] } };
  assert.equal(mapOf(packed, "image", 0, { step: 0 }), null);
  assert.equal(mapOf(packed, "influence", 0), null);
  assert.deepEqual(Array.from(groupsOf({ steps: 0, kinds: {} }, "text")), []);
});
