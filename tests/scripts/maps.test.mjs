import assert from "node:assert/strict";
import test from "node:test";

import { load, mapOfRows } from "./load.mjs";

const FLAT = mapOfRows([[0.5, 0.5], [0.5, 0.5]]);
const CLEAR = mapOfRows([[0, 1], [0, 0]]);

/** What is said of a picture of so many subjects, whose kind of map somebody chose, or nobody. */
function said(subjects, maps, chosen = null) {
  const names = ["kindOf", "isInPlaceOfImage", "isAloneWithoutNull", "view"];
  const globals = { props: {}, mapOf: (all, kind) => all[kind] };
  const page = load(["viewer/heatmap", "viewer/maps"], names, globals);
  page.view.kind = chosen;
  const frame = { subjects: Array.from({ length: subjects }, () => ({})), sentence: [], maps };
  return [page.kindOf(frame), page.isInPlaceOfImage(frame), page.isAloneWithoutNull(frame)];
}

test("of one subject whose image map is flat the influence is shown, in the place of the image map", () => {
  assert.deepEqual(said(1, { image: FLAT, influence: CLEAR }), ["influence", true, false]);
});

test("a flat image map that was chosen is known to be flat by nature", () => {
  assert.deepEqual(said(1, { image: FLAT, influence: CLEAR }, "image"), ["image", false, true]);
});

test("nothing is explained where it was chosen, where the image map was clear or missing, or of two subjects", () => {
  assert.deepEqual(said(1, { image: FLAT, influence: CLEAR }, "influence"), ["influence", false, false]);
  assert.deepEqual(said(1, { image: CLEAR, influence: CLEAR }), ["image", false, true]);
  assert.deepEqual(said(1, { influence: CLEAR }), ["influence", false, false]);
  assert.deepEqual(said(2, { image: FLAT, influence: CLEAR }), ["influence", false, false]);
});
