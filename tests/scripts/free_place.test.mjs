import assert from "node:assert/strict";
import test from "node:test";

import { load } from "./load.mjs";

const { freePlace } = load(["web/free_place"], ["freePlace"]);
const SCREEN = { w: 400, h: 800 };
const SIZE = { w: 300, h: 60 };
const row = (top, bottom, left = 0, right = 400) => ({ left, right, top, bottom });

const covers = ({ left, top }, box) => left < box.right && left + SIZE.w > box.left && top < box.bottom && top + SIZE.h > box.top;

test("a free place that is wanted is taken", () => {
  assert.deepEqual({ ...freePlace(SIZE, SCREEN, [], { left: 50, top: 728 }) }, { left: 50, top: 728 });
});

test("the next one is taken where the wanted one would cover something, never outside of the screen", () => {
  const boxes = [row(700, 800), row(400, 620), row(0, 300)];
  const place = freePlace(SIZE, SCREEN, boxes, { left: 50, top: 640 });
  assert.ok(!boxes.some((box) => covers(place, box)));
  assert.ok(place.top > 620 && place.top + SIZE.h < 700 && place.left === 50);
  const [left, right] = [row(620, 700, 0, 60), row(400, 700, 390, 400)];
  const aside = freePlace(SIZE, SCREEN, [...boxes, left, right], { left: 50, top: 640 });
  assert.ok(![...boxes, left, right].some((box) => covers(aside, box)));
  assert.ok(aside.left >= 60);
});

test("where nothing is free least is covered", () => {
  const boxes = [row(0, 720), row(740, 800)];
  const place = freePlace(SIZE, SCREEN, boxes, { left: 50, top: 100 });
  assert.ok(place.top > 620);
});
