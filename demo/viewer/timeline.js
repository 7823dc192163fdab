// The steps of a picture: a film strip of previews and maps, and a button that plays them.

const MAX_CELLS = 24;
const CELL_WIDTH = 48; // CSS pixels
const STEP_MS = 220; // while the steps are played
const CELL_BACKGROUND = "#10131a";

/** Steps counted from 0, at most MAX_CELLS of them, the last among them. */
function stripSteps(count) {
  const cells = Math.min(count, MAX_CELLS);
  return Array.from({ length: cells }, (_, i) => Math.round(((i + 1) * count) / cells) - 1);
}

/** One scale for all steps of a subject, so that its map is seen to grow: [{colour, maps, lo, hi}]. */
function stripRows(frame, steps) {
  return mappedSubjects(frame).map(({ colour, subject }) => {
    const maps = steps.map((step) => shownMap(frame, subject, step));
    const ranges = maps.filter(Boolean).map(rangeOf);
    return { colour, maps, lo: Math.min(...ranges.map(({ lo }) => lo)), hi: Math.max(...ranges.map(({ hi }) => hi)) };
  });
}

function drawCell(context, { colour, maps, lo, hi }, column, box) {
  context.fillStyle = CELL_BACKGROUND;
  context.fillRect(...box);
  const map = maps[column];
  if (!map || hi <= lo) return;
  const { palette } = styleNow();
  const rgb = rgbOf(colour);
  const strength = (value) => clamp((value - lo) / (hi - lo));
  const tint = (value) => [...rgb, strength(value)];
  const shade = (value) => [...paletteColour(palette, strength(value)), 1];
  context.drawImage(strengthCanvas(map, palette === "subject" ? tint : shade), ...box);
}

function stripCell(frame, rows, steps, column, cell) {
  const dots = window.devicePixelRatio || 1;
  const height = cell.h * (1 + rows.length) + 2 * rows.length;
  const canvas = make("canvas", { width: CELL_WIDTH * dots, height: height * dots, "aria-hidden": "true" });
  const context = canvas.getContext("2d");
  context.scale(dots, dots);
  context.imageSmoothingQuality = "high";
  if (cell.preview) context.drawImage(cell.preview, steps[column] * cell.w, 0, cell.w, cell.sourceH, 0, 0, CELL_WIDTH, cell.h);
  rows.forEach((row, i) => drawCell(context, row, column, [0, (i + 1) * (cell.h + 2), CELL_WIDTH, cell.h]));
  canvas.style.height = `${height}px`;
  const label = t("step_number", { n: steps[column] + 1 });
  return make("button", { type: "button", class: "strip-cell", "data-step": steps[column] + 1, "aria-label": label }, canvas);
}

const strip = { key: null, previews: new WeakMap() };

/** The image of all previews, null until it is loaded, which draws the strip again. */
function previewsOf(frame) {
  if (!frame.strip) return null;
  if (!strip.previews.has(frame.strip)) {
    const image = new Image();
    image.onload = () => Object.assign(strip, { key: null }) && drawMaps();
    image.src = frame.strip.image;
    strip.previews.set(frame.strip, image);
  }
  const image = strip.previews.get(frame.strip);
  return image.complete && image.naturalWidth ? image : null;
}

function drawTimeline(frame) {
  find(".timeline").hidden = isLive() || frame.maps.steps < 2;
  if (find(".timeline").hidden) return;
  const key = [frame.name, shownKind(frame), view.word, sizeOf(frame), headOf(frame), styleNow().palette, view.scale].join();
  if (key !== strip.key) {
    strip.key = key;
    const steps = stripSteps(frame.maps.steps);
    const { w, h } = frame.strip ?? { w: 1, h: 1 };
    const cell = { w, sourceH: h, h: Math.round((CELL_WIDTH * h) / w), preview: previewsOf(frame) };
    const rows = stripRows(frame, steps);
    find(".strip-cells").replaceChildren(...steps.map((_, i) => stripCell(frame, rows, steps, i, cell)));
    drawStripNames(frame, cell);
  }
  markStep();
  drawEarly(frame);
}

function drawStripNames(frame, cell) {
  const names = [t("preview"), ...mappedSubjects(frame).map(({ name }) => name)].map((name) => {
    const label = make("span", {}, name);
    label.style.height = `${cell.h}px`;
    return label;
  });
  find(".strip-names").replaceChildren(...names);
}

/** Mark the cell of the chosen step, or the last one before it. */
function markStep() {
  const cells = findAll(".strip-cell");
  const current = cells.findLast((cell) => view.step && Number(cell.dataset.step) <= view.step);
  for (const cell of cells) {
    cell.setAttribute("aria-pressed", String(cell === current));
    cell.tabIndex = cell === (current ?? cells[0]) ? 0 : -1;
  }
  if (!current) return;
  const [box, outer] = [current.getBoundingClientRect(), find(".strip-cells").getBoundingClientRect()];
  if (box.left < outer.left || box.right > outer.right) find(".strip-cells").scrollLeft += box.left - outer.left - CELL_WIDTH;
}

/** Show over the picture what it was at the chosen step. */
function drawEarly(frame) {
  const preview = view.step && view.step < frame.maps.steps ? previewsOf(frame) : null; // the last step made the picture
  find(".early").hidden = find(".badge").hidden = !preview;
  if (!preview) return;
  const { w, h } = frame.strip;
  Object.assign(find(".early"), { width: w, height: h });
  find(".early").getContext("2d").drawImage(preview, (view.step - 1) * w, 0, w, h, 0, 0, w, h);
  find(".badge").textContent = t("preview_at", { n: view.step });
}

function goTo(step) {
  view.step = step;
  drawMaps();
}

function stopPlaying() {
  clearInterval(view.playing);
  view.playing = null;
  find(".play").classList.remove("on");
  find(".play").setAttribute("aria-label", t("play"));
}

function togglePlaying() {
  if (view.playing) return stopPlaying();
  const last = frameNow().maps.steps;
  if (view.step >= last) view.step = 0;
  find(".play").classList.add("on");
  find(".play").setAttribute("aria-label", t("pause"));
  view.playing = setInterval(() => {
    goTo(view.step + 1);
    if (view.step >= last) stopPlaying();
  }, STEP_MS);
}

find(".strip-cells").addEventListener("keydown", (event) => {
  const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const cell = event.target.closest(".strip-cell");
  const next = way && cell && (way > 0 ? cell.nextElementSibling : cell.previousElementSibling);
  if (!next) return;
  event.preventDefault();
  goTo(Number(next.dataset.step));
  next.focus();
});
