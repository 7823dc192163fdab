// What the votes add up to: a table per pair of variants, a line per question.

/** The share as a dot and its interval as a bar, on a line from 0 to 100 per cent with a mark in the middle. */
function intervalBar({ mean, low, high }) {
  const bar = make("span", { class: "interval", "aria-hidden": "true" }, make("i", {}), make("b", {}));
  bar.style.setProperty("--low", cssPercent(low));
  bar.style.setProperty("--wide", cssPercent(high - low));
  bar.style.setProperty("--mean", cssPercent(mean));
  return bar;
}

function tallyLine({ question, wins, losses, ties, share }) {
  const bar = share ? intervalBar(share) : "";
  const text = share ? `${percent(share.mean)} (${percent(share.low)} – ${percent(share.high)})` : "–";
  const cells = [bar, text, `${wins} : ${losses}`, ties].map((content) => make("td", {}, content));
  return make("tr", {}, make("th", { scope: "row" }, t(`asked_${question}`)), ...cells);
}

function tallyTable(entries) {
  const [{ model, first, second }] = entries;
  const names = make("caption", {}, make("b", {}, labelsText(first)), ` ${t("rather_than")} `, make("b", {}, labelsText(second)), ` (${model})`);
  const heads = ["tally_question", "", "tally_share", "tally_votes", "neither"].map((key) =>
    make(key ? "th" : "td", key ? { scope: "col" } : {}, key ? t(key) : ""),
  );
  return make("table", {}, names, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...entries.map(tallyLine)));
}

function drawTally({ tally, votes, deletable }) {
  const pairs = new Map();
  for (const entry of tally) {
    const key = JSON.stringify([entry.model, entry.first, entry.second]);
    pairs.set(key, [...(pairs.get(key) ?? []), entry]);
  }
  find(".tally").replaceChildren(...[...pairs.values()].map(tallyTable));
  find(".tally-help").textContent = t(votes ? "tally_help" : "tally_none");
  for (const button of findAll(".vote-export, .vote-reset")) button.disabled = !votes;
  if (!deletable) find(".vote-reset").hidden = true;
  find(".sure-text").textContent = t("reset_sure", { n: votes });
}
