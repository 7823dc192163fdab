import assert from "node:assert/strict";
import test from "node:test";

import { load } from "./load.mjs";

const element = { querySelector: () => ({ addEventListener: () => {} }) };
const { labelPlace } = load(["viewer/readout"], ["labelPlace"], { element });
const LABEL = { w: 80, h: 40 };
const BOX = { w: 300, h: 300 };

const covers = ({ left, top }, { x, y }) => x > left && x < left + LABEL.w && y > top && y < top + LABEL.h;

test("a label is near the pointer, above it or, at the upper edge, below", () => {
  assert.deepEqual({ ...labelPlace({ x: 150, y: 200 }, LABEL, BOX, false) }, { left: 110, top: 146 });
  assert.deepEqual({ ...labelPlace({ x: 150, y: 10 }, LABEL, BOX, false) }, { left: 110, top: 24 });
});

test("a label is never outside of the picture, nor on the point, nor below a finger", () => {
  for (const isFinger of [false, true]) {
    for (let x = 0; x <= BOX.w; x += 10) {
      for (let y = 0; y <= BOX.h; y += 10) {
        const place = labelPlace({ x, y }, LABEL, BOX, isFinger);
        assert.ok(place.left >= 0 && place.left + LABEL.w <= BOX.w && place.top >= 0 && place.top + LABEL.h <= BOX.h);
        assert.ok(!covers(place, { x, y }), `${x} ${y} ${isFinger}`);
        const hand = [-40, 0, 40].map((aside) => ({ x: x + aside, y: y + 20 }));
        if (isFinger) assert.ok(!hand.some((part) => covers(place, part)), `${x} ${y}`);
      }
    }
  }
});
