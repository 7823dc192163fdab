// A page that is opened again comes back to the tab that was open, and says on Compare's that a comparison runs.

const TAB = "mmdiff-tab"; // the key of the tab's number in the storage of a browser's tab
const COMPARE = 1; // its number

const tabs = () => [...document.querySelectorAll("#tabs [role=tab]")];

function keptTab() {
  try {
    return sessionStorage.getItem(TAB);
  } catch {
    return null; // storage is switched off
  }
}

function keepTab(number) {
  delete tabs()[number].dataset.atWork;
  try {
    sessionStorage.setItem(TAB, number);
  } catch {
    // the page works without it
  }
}

/** Open a tab as soon as Gradio has drawn them. */
function openTab(number) {
  if (!tabs().length) return void setTimeout(openTab, 50, number);
  tabs()[number]?.click();
}

document.addEventListener(
  "click",
  ({ target }) => {
    const number = tabs().indexOf(target.closest?.("#tabs [role=tab]"));
    if (number >= 0) keepTab(number);
  },
  true,
);

// A link fills in the Studio, the first tab.
if (!location.search.includes("prompt=") && Number(keptTab()) > 0) openTab(Number(keptTab()));

// The session that the page comes back to is making a comparison.
document.addEventListener("mmdiff-comparing", () => {
  if (keptTab() === null) return openTab(COMPARE);
  const tab = tabs()[COMPARE];
  if (tab?.getAttribute("aria-selected") !== "false") return;
  Object.assign(tab, { title: t("comparing") }).dataset.atWork = "yes";
});
