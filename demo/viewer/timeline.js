// The steps of a picture: a film strip of previews and maps, and a button that plays them.

const MOST_FRAMES = 24;
const CELL = 48; // CSS pixels of a frame's width
const BEAT = 220; // milliseconds a step
const GROUND = "#10131a";

/** Steps counted from 0, at most MOST_FRAMES of them, the last among them. */
function framedSteps(count) {
  const frames = Math.min(count, MOST_FRAMES);
  return Array.from({ length: frames }, (_, i) => Math.round(((i + 1) * count) / frames) - 1);
}

/** Whose maps the strip shows: [{name, colour, subject}]. */
function filmSubjects(shown) {
  const word = wordOf(shown);
  if (word) return [{ name: word.text, colour: WORD_COLOUR, subject: word.word }];
  return shown.subjects.map(({ name, colour }, subject) => ({ name, colour, subject }));
}

/** One scale for all steps of a subject, so that its map is seen to grow: {subject, lo, hi, maps}. */
function filmRows(shown, steps) {
  const [kind, size, head] = [lookedAt(shown), sizeOf(shown), headOf(shown)];
  return filmSubjects(shown).map(({ colour, subject }) => {
    const maps = steps.map((step) => mapAt(shown, subject, kind, step, size, head));
    const ranges = maps.filter(Boolean).map(rangeOf);
    return { colour, maps, lo: Math.min(...ranges.map(({ lo }) => lo)), hi: Math.max(...ranges.map(({ hi }) => hi)) };
  });
}

function drawCell(context, { colour, maps, lo, hi }, column, box) {
  context.fillStyle = GROUND;
  context.fillRect(...box);
  const map = maps[column];
  if (!map || hi <= lo) return;
  const { palette } = look();
  const rgb = rgbOf(colour);
  const strength = (value) => clamp((value - lo) / (hi - lo));
  const tint = (value) => [...rgb, strength(value)];
  const shade = (value) => [...paletteColour(palette, strength(value)), 1];
  context.drawImage(strengthCanvas(map, palette === "subject" ? tint : shade), ...box);
}

function filmColumn(shown, rows, steps, column, cell) {
  const dots = window.devicePixelRatio || 1;
  const height = cell.h * (1 + rows.length) + 2 * rows.length;
  const canvas = make("canvas", { width: CELL * dots, height: height * dots, "aria-hidden": "true" });
  const context = canvas.getContext("2d");
  context.scale(dots, dots);
  context.imageSmoothingQuality = "high";
  if (cell.preview) context.drawImage(cell.preview, steps[column] * cell.w, 0, cell.w, cell.sourceH, 0, 0, CELL, cell.h);
  rows.forEach((row, i) => drawCell(context, row, column, [0, (i + 1) * (cell.h + 2), CELL, cell.h]));
  canvas.style.height = `${height}px`;
  const label = t("step_number", { n: steps[column] + 1 });
  return make("button", { type: "button", class: "film", "data-step": steps[column] + 1, "aria-label": label }, canvas);
}

const film = { key: null, previews: new WeakMap() };

/** The strip's picture of all previews, once it is loaded; the strip is drawn anew then. */
function previewsOf(shown) {
  if (!shown.strip) return null;
  if (!film.previews.has(shown.strip)) {
    const image = new Image();
    image.onload = () => Object.assign(film, { key: null }) && drawMaps();
    image.src = shown.strip.image;
    film.previews.set(shown.strip, image);
  }
  const image = film.previews.get(shown.strip);
  return image.complete && image.naturalWidth ? image : null;
}

function drawTimeline(shown) {
  find(".timeline").hidden = isLive() || shown.maps.steps < 2;
  if (find(".timeline").hidden) return;
  const key = [shown.name, lookedAt(shown), view.word, sizeOf(shown), headOf(shown), look().palette].join();
  if (key !== film.key) {
    film.key = key;
    const steps = framedSteps(shown.maps.steps);
    const { w, h } = shown.strip ?? { w: 1, h: 1 };
    const cell = { w, sourceH: h, h: Math.round((CELL * h) / w), preview: previewsOf(shown) };
    const rows = filmRows(shown, steps);
    find(".strip-frames").replaceChildren(...steps.map((_, i) => filmColumn(shown, rows, steps, i, cell)));
    drawStripNames(shown, cell);
  }
  markStep();
  drawEarly(shown);
}

function drawStripNames(shown, cell) {
  const names = [t("preview"), ...filmSubjects(shown).map(({ name }) => name)].map((name) => {
    const label = make("span", {}, name);
    label.style.height = `${cell.h}px`;
    return label;
  });
  find(".strip-names").replaceChildren(...names);
}

/** The frame of the chosen step, or of the last one before it that has a frame. */
function markStep() {
  const frames = findAll(".film");
  const current = frames.findLast((frame) => view.step && Number(frame.dataset.step) <= view.step);
  for (const frame of frames) {
    frame.setAttribute("aria-pressed", String(frame === current));
    frame.tabIndex = frame === (current ?? frames[0]) ? 0 : -1;
  }
  if (!current) return;
  const [box, outer] = [current.getBoundingClientRect(), find(".strip-frames").getBoundingClientRect()];
  if (box.left < outer.left || box.right > outer.right) find(".strip-frames").scrollLeft += box.left - outer.left - CELL;
}

/** Over the picture: what it was at the chosen step. */
function drawEarly(shown) {
  const preview = view.step ? previewsOf(shown) : null;
  find(".early").hidden = find(".badge").hidden = !preview;
  if (!preview) return;
  const { w, h } = shown.strip;
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
  const last = shot().maps.steps;
  if (view.step >= last) view.step = 0;
  find(".play").classList.add("on");
  find(".play").setAttribute("aria-label", t("pause"));
  view.playing = setInterval(() => {
    goTo(view.step + 1);
    if (view.step >= last) stopPlaying();
  }, BEAT);
}

find(".strip-frames").addEventListener("keydown", (event) => {
  const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const frame = event.target.closest(".film");
  const next = way && frame && (way > 0 ? frame.nextElementSibling : frame.previousElementSibling);
  if (!next) return;
  event.preventDefault();
  goTo(Number(next.dataset.step));
  next.focus();
});
