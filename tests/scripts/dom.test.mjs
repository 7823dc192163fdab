import assert from "node:assert/strict";
import test from "node:test";

import { load } from "./load.mjs";

const { clamp, cssPercent, sourceOf, make } = load([], ["clamp", "cssPercent", "sourceOf", "make"], {
  document: { createElement: (tag) => fakeNode(tag) },
});

function fakeNode(tag) {
  const node = { tag, attributes: {}, children: [] };
  node.setAttribute = (name, value) => (node.attributes[name] = value);
  node.append = (...children) => node.children.push(...children);
  return node;
}

test("a style takes a fraction without a blank", () => {
  assert.equal(cssPercent(0.256), "25.60%");
});

test("a value is kept within its limits", () => {
  assert.deepEqual([-1, 0.5, 2].map((value) => clamp(value)), [0, 0.5, 1]);
  assert.equal(clamp(9, 2, 5), 5);
});

test("an image is a data URL or a file", () => {
  assert.equal(sourceOf("data:image/png;base64,AA"), "data:image/png;base64,AA");
  assert.equal(sourceOf({ url: "/file=a.png" }), "/file=a.png");
});

test("an element has its attributes and its children", () => {
  const node = make("p", { class: "help", hidden: "" }, "one", make("b", {}, "two"));
  assert.deepEqual(node.attributes, { class: "help", hidden: "" });
  assert.equal(node.children[0], "one");
  assert.equal(node.children[1].tag, "b");
});
