// Notes about the further words, as about those of the prompt. Gradio gives `element`, `watch` and `trigger`.
//
// A note says a data-phrase; its buttons make a change of the field, data-fix.

function sayNotes() {
  for (const node of findAll("[data-phrase]")) node.textContent = phraseText(JSON.parse(node.dataset.phrase));
}

element.addEventListener("click", (event) => {
  const fix = event.target.closest("[data-fix]");
  if (fix) trigger("amend", JSON.parse(fix.dataset.fix));
});

watch("value", sayNotes);
sayNotes();
