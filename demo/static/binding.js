// Binding: whose attention lies where, in numbers that the server measured over all steps.

const HOW = [
  ["On a subject", "The part of the row subject's attention, the sum of its map, that falls into the column subject's region. A region is where a subject's map, scaled to its own range, is at least one half and higher than every other's."],
  ["Elsewhere", "The part that falls into no subject's region."],
  ["Region", "The part of the picture that the subject's region takes."],
  ["Overlap", "The sum of the lower over the sum of the higher of two scaled maps: 0 % for maps that share nothing, 100 % for equal ones."],
  ["Peaks apart", "The distance between the maps' highest points, as a part of the picture's diagonal."],
];
const howOf = (name) => HOW.find(([title]) => title === name)[1];

function heading(text, how, colour) {
  const cell = make("th", { scope: "col", title: how }, text);
  if (colour) cell.style.setProperty("--subject", colour);
  return cell;
}

function shareCell(share, colour, own) {
  const cell = make("td", { class: own ? "own" : "other", title: howOf("On a subject") }, percent(share));
  cell.style.setProperty("--subject", colour);
  cell.style.setProperty("--share", percent(0.5 * share).replace(" ", ""));
  return cell;
}

function matrixTable(shown, binding) {
  const { subjects } = shown;
  const columns = subjects.map(({ name, colour }) => heading(`on ${name}`, howOf("On a subject"), colour));
  const head = make("tr", {}, make("td", {}), ...columns);
  head.append(heading("elsewhere", howOf("Elsewhere")), heading("region", howOf("Region")));
  const rows = subjects.map(({ name, colour }, i) => {
    const title = make("th", { scope: "row" }, name);
    title.style.setProperty("--subject", colour);
    const shares = subjects.map((_, j) => shareCell(binding.shares[i][j], colour, i === j));
    const rest = make("td", { title: howOf("Elsewhere") }, percent(binding.elsewhere[i]));
    return make("tr", {}, title, ...shares, rest, make("td", { title: howOf("Region") }, percent(binding.coverage[i])));
  });
  const caption = make("caption", {}, "Where each subject's attention lies, over all steps");
  return make("table", {}, caption, make("thead", {}, head), make("tbody", {}, ...rows));
}

function pairLines(shown, binding) {
  const pairs = shown.subjects.flatMap((one, i) => shown.subjects.slice(0, i).map((other, j) => [j, i, other, one]));
  return pairs.map(([i, j, one, other]) =>
    make(
      "p",
      { class: "help pair" },
      `${one.name} and ${other.name}: `,
      make("span", { title: howOf("Overlap") }, `overlap ${percent(binding.overlap[i][j])}`),
      ", ",
      make("span", { title: howOf("Peaks apart") }, `peaks ${percent(binding.distances[i][j])} of the diagonal apart`),
    ),
  );
}

function drawBinding(shown) {
  const binding = shown.bindings?.[kindOf(shown)];
  find(".binding").hidden = !binding;
  if (!binding) return;
  const { text, change } = binding.advice;
  find(".advice-text").textContent = text;
  find(".apply").hidden = !change;
  find(".apply").disabled = view.applied === change && Boolean(change);
  find(".apply").textContent = find(".apply").disabled ? "Applied: now generate" : "Apply to the settings";
  find(".matrix").replaceChildren(matrixTable(shown, binding), ...pairLines(shown, binding));
}

function applyAdvice() {
  const { change } = shot().bindings[kindOf(shot())].advice;
  view.applied = change;
  trigger("advise", { change });
  drawBinding(shot());
  find(".announce").textContent = "The settings are changed. Press Generate to see what it does.";
}

find(".how dl").append(...HOW.flatMap(([title, text]) => [make("dt", {}, title), make("dd", {}, text)]));
