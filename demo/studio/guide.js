// The guide of a first visit: a click on an example also makes the picture, and a note points at its heatmap.
// Gradio gives `element`. The browser remembers that the guide was shown.

const SEEN_KEY = "mmdiff-studio-guided";
let state = "idle"; // "filling" from the click on an example, "making" until the picture is there

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
  const resting = isVisible(document.querySelector("#generate"));
  state = !seen() && resting && viewer()?.dataset.state === "empty" ? "filling" : state;
});

document.addEventListener("mmdiff-filled", () => {
  if (state !== "filling") return;
  state = "making";
  document.querySelector("#generate").click();
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
