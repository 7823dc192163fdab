// A click on an example fills the fields and makes its picture; one in the making is stopped first.
// Gradio gives `element` and `trigger`.

const button = (id) => document.querySelector(`#${id}`);
let wanted = null; // the number of the example that waits for a run to end

function pick() {
  if (wanted === null) return;
  if (!isVisible(button("generate"))) return void setTimeout(pick, 100);
  trigger("pick", { index: wanted });
  wanted = null;
}

element.addEventListener("click", (event) => {
  const card = event.target.closest("[data-example]");
  if (!card) return;
  document.dispatchEvent(new CustomEvent("mmdiff-example"));
  const waiting = wanted !== null;
  wanted = Number(card.dataset.example);
  if (waiting) return;
  if (isVisible(button("stop"))) button("stop").click();
  pick();
});

document.addEventListener("mmdiff-filled", () => button("generate").click());
