// The page's texts in the person's language. Gradio draws all of them, as JSON, into a hidden node of the page.

const textTables = new WeakMap(); // the node, which is new in another language -> texts by their keys

/** Texts by their keys; undefined until the page has them. */
function textTable() {
  const node = document.querySelector("#texts [data-texts]");
  if (node && !textTables.has(node)) textTables.set(node, JSON.parse(node.textContent));
  return node && textTables.get(node);
}

/** The text of a key with its gaps, {name}, filled in. */
function t(key, values = {}) {
  return (textTable()?.[key] ?? key).replace(/{(\w+)}/g, (gap, name) => values[name] ?? gap);
}

/** Names in a row: "a and b and c". */
const listed = (names) => names.reduce((one, two) => t("both", { one, two }));

/** A phrase from the server, [key, values], as text; a value that is a list is one of names. */
function phraseText([key, values]) {
  const filled = Object.entries(values).map(([name, value]) => [name, Array.isArray(value) ? listed(value) : value]);
  return t(key, Object.fromEntries(filled));
}

const phrasesText = (phrases) => phrases.map(phraseText).reduce((one, two) => t("sentences", { one, two }));

/** A label from the server, [key, value], as text. */
function labelText([key, value]) {
  if (!key) return "";
  return t(key).includes("{name}") ? t(key, { name: value }) : `${t(key)} ${value}`.trim();
}

const labelsText = (labels) => labels.map(labelText).join(" · ");

/** Fill in every node of this component that names its text, as soon as the page has the texts. */
function fillTexts() {
  if (!textTable()) return void setTimeout(fillTexts, 50);
  for (const node of findAll("[data-say]")) node.textContent = t(node.dataset.say);
  for (const node of findAll("[data-name]")) node.setAttribute("aria-label", t(node.dataset.name));
  for (const node of findAll("[data-tip]")) node.title = t(node.dataset.tip);
}
