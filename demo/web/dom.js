// Helpers that the page's scripts share; they stand before every component's own scripts. Gradio gives each component
// its `element`.

/** The first node of this component that a selector matches. */
const find = (selector) => element.querySelector(selector);

/** All of them. */
const findAll = (selector) => [...element.querySelectorAll(selector)];

/** A new element with its attributes and its children, which are nodes or texts. */
function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const isVisible = (node) => Boolean(node?.offsetParent);

/** An image of a record, which is a data URL or a file of Gradio's, as a URL. */
const sourceOf = (image) => (typeof image === "string" ? image : image.url);

/** Save a file under a name. */
const saveAs = (href, name) => make("a", { href, download: name }).click();

const clamp = (value, low = 0, high = 1) => Math.min(high, Math.max(low, value));

/** A fraction for a style. */
const cssPercent = (fraction) => `${(100 * fraction).toFixed(2)}%`;
