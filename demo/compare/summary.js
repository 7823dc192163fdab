// How many pictures a comparison makes, or what keeps it from being made; and what its pictures have in common.
function tell() {
  const { count, fault, asked, base } = props.value;
  const line = element.querySelector(".plan");
  line.textContent = fault || spoken(count === 1 ? "count_picture" : "count_pictures").replace("{n}", count);
  line.classList.toggle("todo", Boolean(asked));
  element.querySelector(".hint").textContent = saidAll(base);
  if (asked) line.scrollIntoView({ block: "nearest" });
}
watch("value", tell);
if (props.value.count || props.value.fault) tell();
