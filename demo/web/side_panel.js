// Gradio's panels at the side, "Theme and language" and the API's: they take the focus when they open, Escape closes them,
// and the focus returns to what opened them.

const PATIENCE = 50; // tenths of a second in which a panel is drawn
let panelOpener = null;

const panelCross = () => document.querySelector(".api-docs-wrap button"); // the first one closes the panel

function enterPanel(tries = PATIENCE) {
  const cross = panelCross();
  if (!cross) return tries && setTimeout(() => enterPanel(tries - 1), 100);
  cross.setAttribute("aria-label", t("close"));
  cross.addEventListener("click", () => setTimeout(() => panelOpener?.focus()));
  cross.focus();
}

document.addEventListener("click", (event) => {
  const opener = event.target.closest("footer button");
  if (!opener) return;
  panelOpener = opener;
  enterPanel();
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.defaultPrevented || document.querySelector("[role=listbox]")) return;
  panelCross()?.click();
});

// Gradio changes the language of its own texts alone. The page is loaded anew, in which everything is found again.
const languageNow = () => /"locale":"(\w+)"/.exec(document.querySelector("#texts [data-texts]")?.textContent)?.[1];

function watchLanguage() {
  const first = languageNow();
  if (!first) return void setTimeout(watchLanguage, 100); // the texts are only coming
  new MutationObserver(() => {
    const language = languageNow();
    if (panelOpener && language && language !== first) keepLanguage(language);
  }).observe(document.querySelector("#texts"), { childList: true, subtree: true, characterData: true });
}
watchLanguage();

function keepLanguage(language) {
  try {
    localStorage.setItem(LANGUAGE_KEY, language === "zh" ? "zh-CN" : language); // as Gradio's list has it
  } catch {
    return; // the next page would not know it
  }
  const address = new URL(location);
  address.searchParams.delete("view"); // closes the panel
  setTimeout(() => location.replace(address), 300); // what was typed last is kept first
}
