// A click on an example of the prompt alone fills it in and makes its picture, once nothing else is made.
// Gradio gives `element` and `trigger`.

const generate = () => document.querySelector("#generate");

element.addEventListener("click", (event) => {
  const example = event.target.closest("[data-prompt]");
  if (!example || !isVisible(generate())) return;
  trigger("pick", { index: Number(example.dataset.prompt) });
});
