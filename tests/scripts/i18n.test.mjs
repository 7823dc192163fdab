import assert from "node:assert/strict";
import test from "node:test";

import { load } from "./load.mjs";

const TEXTS = {
  both: "{one} and {two}",
  sentences: "{one} {two}",
  seed: "Seed",
  step_of: "{n} of {m}",
  even_map: "The map of {names} is even.",
  without_subject: "Without the photos of {name}",
};
const NAMES = ["t", "listed", "phraseText", "phrasesText", "labelText", "labelsText"];

function loaded(node) {
  return load(["web/i18n"], NAMES, { document: { querySelector: () => node }, WeakMap, JSON });
}

test("a text has its gaps filled in", () => {
  const { t } = loaded({ textContent: JSON.stringify(TEXTS) });
  assert.equal(t("step_of", { n: 0, m: 4 }), "0 of 4");
  assert.equal(t("step_of", { n: 3 }), "3 of {m}");
});

test("a key stands for itself until the page has the texts", () => {
  assert.equal(loaded(null).t("seed"), "seed");
});

test("texts are read again in another language", () => {
  const page = { node: { textContent: JSON.stringify({ seed: "Seed" }) } };
  const globals = { document: { querySelector: () => page.node }, WeakMap, JSON };
  const { t } = load(["web/i18n"], ["t"], globals);
  assert.equal(t("seed"), "Seed");
  page.node = { textContent: JSON.stringify({ seed: "Startwert" }) };
  assert.equal(t("seed"), "Startwert");
});

test("phrases and labels of the server become text", () => {
  const { phraseText, phrasesText, labelText, labelsText, listed } = loaded({ textContent: JSON.stringify(TEXTS) });
  assert.equal(listed(["a", "b", "c"]), "a and b and c");
  assert.equal(phraseText(["even_map", { names: ["cat", "robot"] }]), "The map of cat and robot is even.");
  assert.equal(phrasesText([["seed", {}], ["step_of", { n: 1, m: 2 }]]), "Seed 1 of 2");
  assert.equal(labelText(["without_subject", "cat"]), "Without the photos of cat");
  assert.equal(labelsText([["seed", "5"], ["", ""]]), "Seed 5 · ");
});
