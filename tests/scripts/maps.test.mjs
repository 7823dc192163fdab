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

/** The newest of answers that come in this order: [[run, move], ...]. */
function newestOf(answers, kept = 0) {
  const { newestLive } = load(["viewer/heatmap", "viewer/maps"], ["newestLive"], { props: {} });
  return answers.map(([of, move]) => ({ run: of, move })).reduce((before, live) => newestLive(live, before, kept), null);
}

test("an older answer of Live that comes late does not replace a newer one", () => {
  assert.equal(newestOf([["page", 1], ["page", 3], ["page", 2]]).move, 3);
  assert.equal(newestOf([["page", 7], ["another", 1]]).run, "another");
});

test("an answer of Live whose picture was kept is over; a picture in the making is none", () => {
  assert.equal(newestOf([["page", 3]], 3), null);
  const { newestLive } = load(["viewer/heatmap", "viewer/maps"], ["newestLive"], { props: {} });
  const making = { run: "page", progress: {} };
  assert.equal(newestLive(making, { run: "page", move: 9 }, 9), making);
  assert.equal(newestLive(undefined, null, 0), null);
});

test("a run that was over before a step of it was shown is looked at, unlike what came another way", () => {
  const { isUnseenRun } = load(["viewer/heatmap", "viewer/maps"], ["isUnseenRun"], { props: {} });
  const unseen = [{}, { opened: true }, { restored: true }, { kept: 3 }].map((more) => isUnseenRun({ run: "new", ...more }, "old"));
  assert.deepEqual(unseen, [true, false, false, false]);
  assert.equal(isUnseenRun({ run: "new" }, "new"), false);
});
