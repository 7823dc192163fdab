// A click on an example fills the page. The guide hears of it, and of the fields being filled.
element.addEventListener("click", (event) => {
  const card = event.target.closest("[data-example]");
  if (!card) return;
  document.dispatchEvent(new CustomEvent("mmdiff-example"));
  trigger("pick", { index: Number(card.dataset.example) });
});
