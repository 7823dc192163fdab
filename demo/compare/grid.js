// Pictures of variants of a request, beside each other. Runs in the browser alone.
//
// Gradio gives `element`, `props`, `trigger` and `watch`. The server sets two properties, see grid.py:
//   props.value  {run, across, down, columns: [label], rows: [label], cells: [cell]}
//   props.live   {place, image, subjects, maps, progress} of the picture in the making; null when nothing runs; without
//                `image` while it waits
// A label is [key, value]; across and down are keys or null. A cell is {place, name, image, labels, subjects: [{name,
// colour}], maps, gaps}, where `maps` are packed, see map_decoding.js, and `gaps` are keys of texts by kinds of map that it
// does not have; places count row by row.

// ------------------------------------------------------------------ the table

const LENS_ICON = '<svg viewBox="0 0 16 16" aria-hidden="true"><circle cx="6.5" cy="6.5" r="4.5"></circle><path d="M10 10l4.5 4.5"></path></svg>';

function emptyPlace(place) {
  const picture = make("button", { type: "button", class: "cell", "data-place": place, disabled: "" });
  picture.append(make("img", { alt: "", hidden: "" }), make("canvas", { "aria-hidden": "true" }), make("span", { class: "gap", hidden: "" }));
  const open = make("button", { type: "button", class: "look-into", hidden: "" });
  open.innerHTML = LENS_ICON;
  return make("div", { class: "place", "data-place": place }, picture, open);
}

/** Without an axis down the page: figures that wrap, each with its name. */
function wall({ columns, across }) {
  const figures = columns.map((label, place) => {
    const name = across ? labelText(label) : labelsText([label]);
    return make("figure", { class: "variant" }, emptyPlace(place), make("figcaption", {}, name));
  });
  return make("div", { class: "wall" }, ...figures);
}

const axisValue = (label) => (t(label[0]).includes("{name}") ? labelText(label) : label[1] || labelText(label));

function gridTable({ across, down, columns, rows }) {
  const corner = make("td", { class: "corner" });
  const heads = columns.map((label) => make("th", { scope: "col" }, axisValue(label)));
  const title = make("th", { scope: "colgroup", colspan: columns.length, class: "axis" }, t(across));
  const lines = rows.map((label, row) => {
    const cells = columns.map((_, column) => make("td", {}, emptyPlace(row * columns.length + column)));
    return make("tr", {}, make("th", { scope: "row" }, axisValue(label)), ...cells);
  });
  const axis = make("th", { class: "axis", scope: "col" }, t(down));
  const head = make("thead", {}, make("tr", {}, corner, title), make("tr", {}, axis, ...heads));
  const caption = make("caption", {}, `${t(across)} × ${t(down)}`);
  return make("div", { class: "grid-box" }, make("table", { class: "grid" }, caption, head, make("tbody", {}, ...lines)));
}

function drawPlace(place, cell, live) {
  const [picture, image] = [place.querySelector(".cell"), place.querySelector("img")];
  const shown = cell ?? (live?.image ? live : null);
  picture.disabled = !cell;
  picture.classList.toggle("live", !cell && Boolean(live));
  image.hidden = !shown;
  place.querySelector(".look-into").hidden = !cell;
  for (const side of ["left", "right"]) picture.classList.toggle(side, Boolean(cell) && cell.name === lens[side]);
  tellGap(place, cell);
  if (!shown) return clearCell(place);
  showCell(place, shown, cell ? labelsText(cell.labels) : "");
  if (!cell) return;
  picture.dataset.cell = cell.name;
  picture.setAttribute("aria-pressed", String(cell.name === lens.right));
  place.querySelector(".look-into").setAttribute("aria-label", `${t("inspect")}: ${labelsText(cell.labels)}`);
  place.querySelector(".look-into").title = t("inspect");
}

function drawPlaces() {
  const byPlace = new Map(cellsNow().map((cell) => [cell.place, cell]));
  for (const place of findAll(".place")) {
    const number = Number(place.dataset.place);
    drawPlace(place, byPlace.get(number), props.live?.place === number ? props.live : null);
  }
}

function drawLegend() {
  const subjects = new Map(cellsNow().flatMap((cell) => cell.subjects.map(({ name, colour }) => [colour, name])));
  const names = [...subjects].map(([colour, name]) => {
    const entry = make("span", {}, name);
    entry.style.setProperty("--subject", colour);
    return entry;
  });
  find(".legend").replaceChildren(...names);
}

function drawProgress() {
  const { live } = props;
  find(".progress").hidden = !live;
  if (!live) return;
  const { progress } = live;
  const words = { n: progress?.picture, m: progress?.pictures, step: progress?.step, steps: progress?.steps };
  const line = t(progress ? "picture_progress" : "waiting_for_first_step", words);
  find(".step-line").textContent = progress ? `${line} · ${t("time_left", { time: progress.left })}` : line;
  find(".track").setAttribute("aria-valuenow", String(Math.round(100 * (progress?.done ?? 0))));
  find(".track").classList.toggle("waiting", !progress);
  find(".track span").style.width = `${100 * (progress?.done ?? 0)}%`;
}

function draw() {
  const { value, live } = props;
  find(".viewer").dataset.state = value?.run ? "shown" : live ? "waiting" : "empty";
  drawProgress();
  find(".compared").hidden = !value?.run;
  if (!value?.run) return;
  if (value.run !== gridView.run) {
    gridView.run = value.run;
    find(".cells").replaceChildren(value.down ? gridTable(value) : wall(value));
  }
  gridView.shownKind = kindNow();
  for (const radio of findAll(".kinds input")) radio.checked = radio.value === gridView.shownKind;
  drawLens(cellsNow());
  drawPlaces();
  drawLegend();
}

let liveBefore = null;
function receive() {
  if (props.live && !liveBefore && window.innerWidth < 900) find(".viewer").scrollIntoView();
  if (!props.live && liveBefore && cellsNow().length) find(".announce").textContent = t("grid_ready");
  liveBefore = props.live;
  draw();
}

// ------------------------------------------------------------------ what the person does

element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  const name = button?.closest(".place")?.querySelector(".cell").dataset.cell;
  if (button?.matches(".look-into")) trigger("inspect", { name });
  if (button?.matches(".save-grid")) saveGrid();
  if (!button?.matches(".cell") || name === lens.left) return;
  lens.right = name;
  draw();
});

element.addEventListener("input", (event) => {
  if (!event.target.matches(".kinds input")) return;
  gridView.kind = event.target.value;
  draw();
});

// It is drawn in another size, and when its tab comes into sight.
let widthBefore = 0;
new ResizeObserver(([{ contentRect }]) => {
  const width = Math.round(contentRect.width);
  if (width && width !== widthBefore) requestAnimationFrame(draw);
  widthBefore = width;
}).observe(find(".compared"));
watch(["value", "live"], receive);
fillTexts(receive);
