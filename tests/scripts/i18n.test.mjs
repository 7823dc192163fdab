import assert from "node:assert/strict";
import test from "node:test";

import { load } from "./load.mjs";

const TEXTS = {
  both: "{one} and {two}",
  comma: "{one}, {two}",
  quoted: "“{name}”",
  unknown_words: "The model does not know {words}.",
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

test("who has only a finger is not told to point", () => {
  const node = { textContent: JSON.stringify({ help: "Point at it.", help_touch: "Touch it.", seed: "Seed" }) };
  const said = (matches) => {
    const globals = { document: { querySelector: () => node }, WeakMap, JSON, matchMedia: () => ({ matches }) };
    const { t } = load(["web/i18n"], ["t"], globals);
    return [t("help"), t("seed")];
  };
  assert.deepEqual(said(false), ["Point at it.", "Seed"]);
  assert.deepEqual(said(true), ["Touch it.", "Seed"]);
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
  assert.deepEqual([listed(["a", "b", "c"]), listed(["a", "b"]), listed(["a"])], ["a, b and c", "a and b", "a"]);
  assert.equal(phraseText(["unknown_words", { words: ["my", "is"] }]), "The model does not know “my” and “is”.");
  assert.equal(phraseText(["even_map", { names: ["cat", "robot"] }]), "The map of cat and robot is even.");
  assert.equal(phrasesText([["seed", {}], ["step_of", { n: 1, m: 2 }]]), "Seed 1 of 2");
  assert.equal(labelText(["without_subject", "cat"]), "Without the photos of cat");
  assert.equal(labelsText([["seed", "5"], ["", ""]]), "Seed 5 · ");
});

const SENTENCES = {
  "The {what} must be {kind}; it is {value}.": "{what} muss {kind} sein, nicht {value}.",
  "steps": "Die Schrittzahl",
  "a multiple of {n}": "ein Vielfaches von {n}",
  'The photo "{name}" is empty.': "Das Foto „{name}“ ist leer.",
  "Left out: {what}": "Ausgelassen: {what}",
  "Not taken over: {list}.": "Nicht übernommen: {list}.",
  "Left: {n}.": "Übrig: {n}.",
};

function speaking(sentences) {
  const node = { textContent: JSON.stringify(sentences) };
  return load(["web/i18n"], ["sentenceText"], { document: { querySelector: () => node }, WeakMap, JSON }).sentenceText;
}

test("a fraction is written as in the person's language", () => {
  const written = (locale) => load(["web/i18n"], ["percent", "phraseText"], {
    document: { querySelector: () => ({ textContent: JSON.stringify({ locale, own: "{share} of {name}" }) }) }, WeakMap, JSON, Intl,
  });
  const blank = "\u00a0";
  assert.deepEqual(["en", "zh", "de", "es"].map((locale) => written(locale).percent(0.256)), ["26%", "26%", `26${blank}%`, `26${blank}%`]);
  assert.equal(written("de").percent(0.256, 1), `25,6${blank}%`);
  assert.equal(written("en").phraseText(["own", { share: 0.5, name: "cat" }]), "50% of cat");
});

test("the server's sentences are put into the person's language, with the words inside of them", () => {
  const say = speaking(SENTENCES);
  assert.equal(say("The steps must be a multiple of 8; it is 7."), "Die Schrittzahl muss ein Vielfaches von 8 sein, nicht 7.");
  assert.equal(say('Left out: The photo "a. b? (1).png" is empty.'), "Ausgelassen: Das Foto „a. b? (1).png“ ist leer.");
  assert.equal(say("Something new. Left: 4."), "Something new. Übrig: 4.");
  assert.equal(say("Seed 4: Left: 3."), "Seed 4: Übrig: 3.");
  assert.equal(say("Not taken over: size 3, steps, a multiple of 2."), "Nicht übernommen: size 3, Die Schrittzahl, ein Vielfaches von 2.");
});

test("a sentence without a translation stays as it is, and so does every one in English", () => {
  assert.equal(speaking(SENTENCES)("Nobody knows this."), "Nobody knows this.");
  assert.equal(speaking(SENTENCES)("a, ".repeat(500)), "a, ".repeat(500));
  assert.equal(speaking({})("Left: 3."), "Left: 3.");
});

test("a name that looks like a pattern is shown as it was typed", () => {
  assert.equal(speaking(SENTENCES)('The photo "$& {what} steps" is empty.'), "Das Foto „$& {what} steps“ ist leer.");
});

test("what is drawn waits for the texts", () => {
  const page = { node: null };
  const waiting = [];
  const drawn = [];
  const globals = {
    document: { querySelector: () => page.node },
    element: { querySelectorAll: () => [] },
    setTimeout: (again, ms, ...rest) => waiting.push(() => again(...rest)),
    WeakMap,
    JSON,
  };
  const { fillTexts, t } = load(["web/i18n"], ["fillTexts", "t"], globals);
  fillTexts(() => drawn.push(t("seed")));
  assert.deepEqual(drawn, []);
  page.node = { textContent: JSON.stringify({ seed: "Seed" }) };
  waiting.shift()();
  assert.deepEqual(drawn, ["Seed"]);
  assert.equal(waiting.length, 0);
});
