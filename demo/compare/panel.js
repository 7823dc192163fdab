// How many pictures a comparison makes, or what keeps it from starting; and what its pictures have in common.
// props.value is {count, error, about: [label], attempt, common: [label], untrained}; `about` names the picture
// that an error is about; `attempt` is a word that differs with every Compare in vain, and
// is empty while somebody types.

function drawSummary() {
  const { count, error, about, attempt, common, untrained } = props.value;
  const line = find(".summary");
  const wrong = [...(about.length ? [labelsText(about)] : []), sentenceText(error)].join(": ");
  line.textContent = error ? wrong : t(count === 1 ? "count_picture" : "count_pictures", { n: count });
  line.classList.toggle("first-error", Boolean(attempt));
  const [facts, warning] = findAll(".hint");
  facts.textContent = labelsText(common);
  warning.textContent = untrained ? document.querySelector("#other-sizes-help")?.textContent ?? "" : "";
  if (attempt) line.scrollIntoView({ block: "nearest" });
}

watch("value", drawSummary);
if (props.value.count || props.value.error) drawSummary();
