// The guide of a first visit: when the first example's picture is there, a note points at its heatmap.
// Gradio gives `element`. The browser remembers that the guide was shown.

const SEEN_KEY = "mmdiff-studio-guided";
let state = "idle"; // "making" from the click on an example until its picture is there

function seen() {
  try {
    return localStorage.getItem(SEEN_KEY) !== null;
  } catch {
    return state === "done"; // storage is switched off
  }
}

function remember() {
  state = "done";
  try {
    localStorage.setItem(SEEN_KEY, "yes");
  } catch {
    // storage is switched off
  }
}

const viewer = () => document.querySelector("#result .viewer");

document.addEventListener("mmdiff-example", () => {
  if (!seen()) state = "making";
});

/** Put the note right below the heatmap. */
function point() {
  const note = find(".guide");
  if (!note) return;
  remember();
  viewer().querySelector(".stage").after(note);
  note.hidden = false;
  viewer().querySelector(".heatmap-box").classList.add("pointed");
  note.querySelector("button").addEventListener("click", () => {
    viewer().querySelector(".heatmap-box").classList.remove("pointed");
    note.remove();
  });
}

new MutationObserver(() => {
  if (state === "making" && isVisible(document.querySelector("#result .button-row"))) point();
}).observe(document.querySelector("#right"), { childList: true, subtree: true, attributes: true });
