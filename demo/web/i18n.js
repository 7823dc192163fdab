// The page's words in the person's language, read from the page itself.

const spoken = (key) =>
  document.querySelector("#spoken [data-nobody]")?.getAttribute(`data-${key.replaceAll("_", "-")}`) ?? key;

/** A text with its gaps, {name}, filled in. */
const told = (key, values) => spoken(key).replace(/{(\w+)}/g, (_, name) => values[name]);

/** Names in a row: "a and b and c". */
const named = (names) => names.reduce((one, two) => told("both", { one, two }));

/** A phrase of the server, [key, values], in words; a value that is a list is one of names. */
function phrase([key, values]) {
  const words = Object.entries(values).map(([name, value]) => [name, Array.isArray(value) ? named(value) : value]);
  return told(key, Object.fromEntries(words));
}

const phrases = (all) => all.map(phrase).reduce((one, two) => told("sentences", { one, two }));

/** A label of the server, [key, value], in words. */
function said([key, value]) {
  if (!key) return "";
  const text = spoken(key);
  return text.includes("{name}") ? text.replace("{name}", value) : `${text} ${value}`.trim();
}

const saidAll = (labels) => labels.map(said).join(" · ");

/** Fill in every element of a component that names its text. */
function translate() {
  if (!document.querySelector("#spoken [data-nobody]")) return void setTimeout(translate, 50);
  for (const node of element.querySelectorAll("[data-say]")) node.textContent = spoken(node.dataset.say);
  for (const node of element.querySelectorAll("[data-name]")) node.setAttribute("aria-label", spoken(node.dataset.name));
  for (const node of element.querySelectorAll("[data-tip]")) node.title = spoken(node.dataset.tip);
}
