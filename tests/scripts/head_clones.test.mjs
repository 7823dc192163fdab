import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { createContext, runInContext } from "node:vm";

const source = readFileSync(new URL("../../demo/web/head_clones.js", import.meta.url), "utf8");
const asked = [];
const window = { structuredClone: (value, options) => (asked.push(value), structuredClone(value, options)) };
runInContext(source, createContext({ window, DOMException, Set }));
const clone = window.structuredClone;

test("what would come back unchanged never reaches the browser's clone", () => {
  for (const value of [undefined, null, true, 0, -0, NaN, 12n, "a text"]) assert.ok(Object.is(clone(value), value));
  assert.deepEqual(asked, []);
});

test("functions and symbols are refused as the browser refuses them", () => {
  assert.throws(() => clone(() => 1), { name: "DataCloneError" });
  assert.throws(() => clone(Symbol("s")), { name: "DataCloneError" });
});

test("everything else is the browser's own clone", () => {
  const value = { list: [1, { deep: new Date(5) }], map: new Map([[1, "a"]]) };
  const copy = clone(value);
  assert.deepEqual(copy, value);
  assert.notEqual(copy.list[1], value.list[1]);
  const buffer = new ArrayBuffer(4);
  clone(buffer, { transfer: [buffer] });
  assert.equal(buffer.byteLength, 0);
});
