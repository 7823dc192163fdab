// A click on an example fills the fields; the guide is told of it.
element.addEventListener("click", (event) => {
  const card = event.target.closest("[data-example]");
  if (!card) return;
  document.dispatchEvent(new CustomEvent("mmdiff-example"));
  trigger("pick", { index: Number(card.dataset.example) });
});
