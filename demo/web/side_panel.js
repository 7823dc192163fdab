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
