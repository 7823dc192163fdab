// What a link that the page was opened with has filled in; props.value is a list of sentences. It goes when
// the fields are used.

function drawLinkNote() {
  const line = find(".link-note");
  line.hidden = !props.value?.length;
  line.textContent = (props.value ?? []).map(sentenceText).join(" ");
}

watch("value", drawLinkNote);
drawLinkNote();
document.addEventListener("click", ({ target }) => {
  if (target.closest?.("#generate, .example, .prompt-example")) find(".link-note").hidden = true;
});
