// How many pictures a comparison makes, or what keeps it from starting; and what its pictures have in common.
// props.value is {count, error, attempt, common: [label], untrained}; `attempt` is a word that differs with every Compare in vain, and
// is empty while somebody types.

function drawSummary() {
  const { count, error, attempt, common, untrained } = props.value;
  const line = find(".summary");
  line.textContent = error ? sentenceText(error) : t(count === 1 ? "count_picture" : "count_pictures", { n: count });
  line.classList.toggle("first-error", Boolean(attempt));
  const [facts, warning] = findAll(".hint");
  facts.textContent = labelsText(common);
  warning.textContent = untrained ? document.querySelector("#other-sizes-help")?.textContent ?? "" : "";
  if (attempt) line.scrollIntoView({ block: "nearest" });
}

watch("value", drawSummary);
if (props.value.count || props.value.error) drawSummary();
