// How many pictures a comparison makes, or what keeps it from being made; and what its pictures have in common.
function tell() {
  const { count, fault, asked, base } = props.value;
  const line = find(".plan");
  line.textContent = fault || t(count === 1 ? "count_picture" : "count_pictures", { n: count });
  line.classList.toggle("todo", Boolean(asked));
  find(".hint").textContent = labelsText(base);
  if (asked) line.scrollIntoView({ block: "nearest" });
}
watch("value", tell);
if (props.value.count || props.value.fault) tell();
