// The page's texts in the person's language. Gradio draws all of them, as JSON, into a hidden node of the page.

const textTables = new WeakMap(); // the node, which is new in another language -> texts by their keys

/** Texts by their keys; undefined until the page has them. */
function textTable() {
  const node = document.querySelector("#texts [data-texts]");
  if (node && !textTables.has(node)) textTables.set(node, JSON.parse(node.textContent));
  return node && textTables.get(node);
}

/** Whether the person has nothing to point with but a finger. */
const isTouched = () => Boolean(globalThis.matchMedia?.("(hover: none)").matches);

/** The text of a key with its gaps, {name}, filled in; what is said otherwise of a touch screen has a key with "_touch". */
function t(key, values = {}) {
  const texts = textTable();
  const text = (isTouched() && texts?.[`${key}_touch`]) || texts?.[key];
  return (text ?? key).replace(/{(\w+)}/g, (gap, name) => values[name] ?? gap);
}

/** A fraction as the person's language writes it: 26%, or 26 %. */
function percent(fraction, digits = 0) {
  const style = { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits };
  return new Intl.NumberFormat(t("locale"), style).format(fraction);
}

/** Names in a row: "a, b and c". */
const listed = (names) => names.reduce((one, two, i) => t(i < names.length - 1 ? "comma" : "both", { one, two }));

/** Words in a row, each in quotation marks. */
const quotedList = (words) => listed(words.map((name) => t("quoted", { name })));

/**
 * A phrase from the server, [key, values], as text; a value that is a list is one of names, or of `words`, which are quoted;
 * `share` is a fraction.
 */
function phraseText([key, values]) {
  const said = (name, value) => {
    if (name === "share") return percent(value);
    if (!Array.isArray(value)) return value;
    return name === "words" ? quotedList(value) : listed(value);
  };
  const filled = Object.entries(values).map(([name, value]) => [name, said(name, value)]);
  return t(key, Object.fromEntries(filled));
}

const phrasesText = (phrases) => phrases.map(phraseText).reduce((one, two) => t("sentences", { one, two }));

/** A label from the server, [key, value], as text. */
function labelText([key, value]) {
  if (!key) return "";
  return t(key).includes("{name}") ? t(key, { name: value }) : `${t(key)} ${value}`.trim();
}

const labelsText = (labels) => labels.map(labelText).join(" · ");

// ------------------------------------------------------------------ what the server says in English

const sentenceTables = new WeakMap(); // the node -> [pattern, names of its gaps, translation], the most specific first
const OF_WORDS = ["what", "kind", "why", "most", "list"]; // gaps with words that are translated themselves; see i18n.py
const MAX_PIECES = 12; // of a message that is several sentences

function sentenceTable() {
  const node = document.querySelector("#texts [data-sentences]");
  if (!node) return [];
  if (!sentenceTables.has(node)) sentenceTables.set(node, readSentences(JSON.parse(node.textContent)));
  return sentenceTables.get(node);
}

function readSentences(table) {
  const length = (english) => english.replace(/{\w+}/g, "").length;
  const rows = Object.entries(table).sort(([one], [two]) => length(two) - length(one));
  return rows.map(([english, own]) => {
    const parts = english.split(/{\w+}/).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    return [new RegExp(`^${parts.join("(.+?)")}$`, "s"), [...english.matchAll(/{(\w+)}/g)].map(([, name]) => name), own];
  });
}

/** One sentence in the person's language; undefined where it has no translation. */
function knownSentence(sentence) {
  for (const [pattern, names, own] of sentenceTable()) {
    const found = pattern.exec(sentence);
    if (!found) continue;
    const said = (name, value) => (OF_WORDS.includes(name) ? sentenceText(value) : value);
    const values = Object.fromEntries(names.map((name, i) => [name, said(name, found[i + 1])]));
    return own.replace(/{(\w+)}/g, (gap, name) => values[name]);
  }
  return undefined;
}

/** The same for a piece of a list or of a line, whose comma or colon stays. */
function knownPiece(piece) {
  const [, body, sign] = /^(.*?)([,:]?)$/s.exec(piece);
  const known = knownSentence(body);
  return known && known + sign;
}

/** What the server says, one sentence or several, or a list, in the person's language; what is not known stays. */
function sentenceText(text) {
  const whole = knownSentence(text);
  if (whole !== undefined || !sentenceTable().length) return whole ?? text;
  const pieces = text.split(/(?<=[.!?:,]) /);
  if (pieces.length === 1 || pieces.length > MAX_PIECES) return text;
  const said = [];
  for (let start = 0, end; start < pieces.length; start = end) {
    let known;
    for (end = pieces.length; end > start && known === undefined; end--) known = knownPiece(pieces.slice(start, end).join(" "));
    end = known === undefined ? start + 1 : end + 1;
    said.push(known ?? pieces[start]);
  }
  return said.join(" ");
}

/** As soon as the page has the texts: fill in every node of this component that names its text, and draw the rest. */
function fillTexts(draw = () => {}) {
  if (!textTable()) return void setTimeout(fillTexts, 50, draw);
  for (const node of findAll("[data-say]")) node.textContent = t(node.dataset.say);
  for (const node of findAll("[data-name]")) node.setAttribute("aria-label", t(node.dataset.name));
  for (const node of findAll("[data-tip]")) node.title = t(node.dataset.tip);
  draw();
}
