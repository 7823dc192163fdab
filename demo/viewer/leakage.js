// Leakage: whose attention lies where, in numbers that the server measured over all steps.

/** How a number is computed, for its tooltip. */
const howOf = (name) => t(`how_${name}_text`);

function heading(text, how, colour) {
  const cell = make("th", { scope: "col", title: how }, text);
  if (colour) cell.style.setProperty("--subject", colour);
  return cell;
}

function shareCell(share, colour, own) {
  const cell = make("td", { class: own ? "own" : "other", title: howOf("on") }, percent(share));
  cell.style.setProperty("--subject", colour);
  cell.style.setProperty("--share", cssPercent(0.5 * share));
  return cell;
}

function matrixTable(frame, leakage) {
  const { subjects } = frame;
  const columns = subjects.map(({ name, colour }) => heading(t("on_subject", { name }), howOf("on"), colour));
  const head = make("tr", {}, make("td", {}), ...columns);
  head.append(heading(t("how_elsewhere"), howOf("elsewhere")), heading(t("how_region"), howOf("region")));
  const rows = subjects.map(({ name, colour }, i) => {
    const title = make("th", { scope: "row" }, name);
    title.style.setProperty("--subject", colour);
    const shares = subjects.map((_, j) => shareCell(leakage.shares[i][j], colour, i === j));
    const rest = make("td", { title: howOf("elsewhere") }, percent(leakage.elsewhere[i]));
    return make("tr", {}, title, ...shares, rest, make("td", { title: howOf("region") }, percent(leakage.coverage[i])));
  });
  const caption = make("caption", {}, t("matrix"));
  return make("table", {}, caption, make("thead", {}, head), make("tbody", {}, ...rows));
}

function pairLines(frame, leakage) {
  const pairs = frame.subjects.flatMap((one, i) => frame.subjects.slice(0, i).map((other, j) => [j, i, other, one]));
  return pairs.map(([i, j, one, other]) =>
    make(
      "p",
      { class: "help pair" },
      `${t("pair", { one: one.name, two: other.name })} `,
      make("span", { title: howOf("overlap") }, t("pair_overlap", { part: percent(leakage.overlap[i][j]) })),
      ", ",
      make("span", { title: howOf("apart") }, t("pair_apart", { part: percent(leakage.distances[i][j]) })),
    ),
  );
}

function drawLeakage(frame) {
  const leakage = frame.leakage?.[kindOf(frame)];
  find(".leakage").hidden = !leakage;
  if (!leakage) return;
  const { says, change } = leakage.advice;
  find(".advice-text").textContent = phrasesText(says);
  find(".apply").hidden = !change;
  find(".apply").disabled = view.applied === change && Boolean(change);
  find(".apply").textContent = t(find(".apply").disabled ? "applied" : "apply_advice");
  find(".matrix").replaceChildren(matrixTable(frame, leakage), ...pairLines(frame, leakage));
}

function applyAdvice() {
  const { change } = frameNow().leakage[kindOf(frameNow())].advice;
  view.applied = change;
  trigger("advise", { change, seed: frameNow().facts[1].seed });
  drawLeakage(frameNow());
  find(".announce").textContent = t("applied_help");
}
