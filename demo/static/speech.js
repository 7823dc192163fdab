// The page's words in the person's language, read from the page itself.

const spoken = (key) =>
  document.querySelector("#spoken [data-nobody]")?.getAttribute(`data-${key.replaceAll("_", "-")}`) ?? key;

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
}
