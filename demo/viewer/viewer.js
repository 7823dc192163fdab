// The result: pictures, their heatmaps and the progress of the one being made.

const KEPT = 16;

// ------------------------------------------------------------------ drawing

function drawOverlay() {
  const shown = shot();
  if (!shown) return;
  const [canvas, picture] = [find(".overlay"), find(".picture")];
  const width = Math.max(1, Math.round(picture.clientWidth * (window.devicePixelRatio || 1)));
  canvas.width = width;
  canvas.height = Math.max(1, Math.round((width * picture.naturalHeight) / (picture.naturalWidth || 1)));
  const layers = visibleLayers(shown);
  paintOverlay(canvas, view.peek ? [] : layers, look());
  drawScales(layers, look());
  drawReadout(shown, layers);
}

/** Written only where it changes: it is read aloud. */
function drawReadout(shown, layers) {
  const text = readoutText(shown, layers);
  if (find(".readout").textContent !== text) find(".readout").textContent = text;
}

/** Everything that follows the step, the kind of map and its look. */
function drawMaps() {
  const shown = shot();
  if (!shown?.image) return;
  drawControls(shown);
  drawTimeline(shown);
  drawBinding(shown);
  drawOverlay();
}

function drawThumbs() {
  const entries = view.shelf.map((entry) => [entry.name, sourceOf(entry.image), phraseText(entry.caption)]);
  if (props.live?.image) entries.unshift([LIVE, sourceOf(props.live.image), t("in_the_making")]);
  const box = find(".thumbs");
  const before = new Map([...box.children].map((thumb) => [thumb.dataset.shot, thumb]));
  const thumbs = entries.map(([name, source, caption]) => {
    const thumb = before.get(name ?? "") ?? emptyThumb(name ?? "");
    const image = thumb.querySelector("img");
    if (image.getAttribute("src") !== source) image.src = source;
    image.alt = thumb.title = caption;
    thumb.setAttribute("aria-pressed", String(name === view.chosen));
    return thumb;
  });
  hang(box, thumbs.length > 1 ? thumbs : []);
}

function emptyThumb(name) {
  const thumb = make("button", { type: "button", class: "thumb", "data-shot": name });
  thumb.append(make("img", {}));
  return thumb;
}

/** Nothing is moved that is in its place: a thumb that is being clicked would miss the click. */
function hang(box, thumbs) {
  if (thumbs.length === box.children.length && thumbs.every((thumb, i) => thumb === box.children[i])) return;
  const focused = box.contains(document.activeElement) ? document.activeElement : null;
  box.replaceChildren(...thumbs);
  focused?.focus();
}

/** Before the first step: a key; then the step, and the picture where there are several. */
function progressText({ waiting, picture, pictures, step, steps, left }) {
  if (waiting) return t(waiting);
  const line = t(pictures > 1 ? "sheet_progress" : "step_progress", { n: picture, m: pictures, step, steps });
  return `${line} · ${t("time_left", { time: left })}`;
}

function drawProgress() {
  const progress = props.live?.progress;
  find(".progress").hidden = !progress;
  if (!progress) return;
  find(".step-line").textContent = progressText(progress);
  find(".track").setAttribute("aria-valuenow", String(Math.round(100 * progress.done)));
  find(".track").classList.toggle("waiting", !props.live.image);
  find(".track span").style.width = `${100 * progress.done}%`;
}

function drawStage(shown, mapped) {
  const caption = phraseText(shown.caption);
  find(".stage").classList.toggle("single", !mapped || find(".layouts input:checked").value === "on-top");
  for (const [picture, alt] of [[find(".bare"), caption], [find(".picture"), mapped ? "" : caption]]) {
    if (picture.getAttribute("src") !== sourceOf(shown.image)) picture.src = sourceOf(shown.image);
    picture.alt = alt;
    picture.classList.toggle("rough", isLive());
  }
  if (find(".stage").matches(".single")) find(".picture").alt = caption;
}

let drawn = null; // the picture that is seen

function draw() {
  const shown = (drawn = shot());
  find(".viewer").dataset.state = shown?.image ? "shown" : props.live ? "waiting" : "empty";
  drawProgress();
  drawThumbs();
  find(".inspect").hidden = !shown?.image;
  if (!shown?.image) return;
  const mapped = shown.subjects.length > 0 && shown.maps.steps > 0;
  drawStage(shown, mapped);
  drawSentence(shown);
  drawSubjects(shown);
  for (const part of findAll(".mapped")) part.hidden = !mapped;
  find(".word-help").hidden = !mapped || !recordedWords(shown);
  find(".early").hidden = find(".badge").hidden = true;
  drawKeep(shown);
  if (mapped) drawMaps();
  else drawOverlay();
}

// ------------------------------------------------------------------ news from the server

function follow(run) {
  stopPlaying();
  Object.assign(view, { followed: run, chosen: LIVE, following: true, step: 0, hidden: new Set(), word: null });
}

function receive() {
  const value = props.value;
  const before = view.shelf.length;
  if (value && value.run !== view.run) {
    const known = value.pictures.map(({ name }) => name);
    Object.assign(view, { run: value.run, older: view.shelf.filter(({ name }) => !known.includes(name)) });
    if (value.opened) choose(known[0]); // it comes from the Compare tab
  }
  view.shelf = [...(value?.pictures ?? []), ...(view.older ?? [])].slice(0, KEPT);
  if (props.live?.image && props.live.run !== view.followed) follow(props.live.run);
  const gone = view.chosen !== LIVE && !view.shelf.some(({ name }) => name === view.chosen);
  if (gone) view.chosen = view.shelf[0]?.name ?? "";
  if (!props.live && view.following) {
    view.chosen = (value?.pictures?.at(-1) ?? view.shelf[0])?.name ?? "";
    if (view.shelf.length > before) find(".announce").textContent = t("view_ready");
  }
  if (!drawn || drawn !== shot() || isLive()) return draw();
  drawProgress(); // another picture is looked at, and maybe clicked at, while one is made
  drawThumbs();
}

// ------------------------------------------------------------------ what the person does

function choose(name) {
  stopPlaying();
  Object.assign(view, { chosen: name, following: name === LIVE, solo: null, word: null });
}

// Selector of a button -> what it does; the first four change what is drawn.
const ACTIONS = [
  ["[data-shot]", (button) => choose(button.dataset.shot || LIVE)],
  [".chip[data-subject]", (button) => toggleSubject(Number(button.dataset.subject))],
  [".chip.all", toggleAll],
  [".other-word", (button) => (view.word = view.word === Number(button.dataset.word) ? null : Number(button.dataset.word))],
  [".film", (button) => (stopPlaying(), goTo(Number(button.dataset.step)))],
  [".play", togglePlaying],
  [".apply", applyAdvice],
  [".save-overlay", saveOverlay],
  [".pack", (button) => order(button, "pack", {})],
  [".animate", (button) => order(button, "animate", { kind: button.dataset.kind })],
  [".copy", copyCode],
];

element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  const place = ACTIONS.findIndex(([selector]) => button?.matches(selector));
  if (place < 0) return;
  ACTIONS[place][1](button);
  if (place > 3) return;
  const again = [".chip.all", `.chip[data-subject="${button.dataset.subject}"]`, `.thumb[data-shot="${button.dataset.shot}"]`, `.other-word[data-word="${button.dataset.word}"]`];
  draw();
  find(again.find((selector) => button.matches(selector)) ?? "none")?.focus();
});

const frame = find(".frame");

/** Read the values at a point in fractions of the picture, null for none; `marked`: it has no pointer of its own. */
function pointAt(point, marked) {
  view.pointer = point;
  const mark = find(".point");
  mark.hidden = !marked;
  if (marked) Object.assign(mark.style, { left: `${100 * point.x}%`, top: `${100 * point.y}%` });
  if (shot()?.image) drawReadout(shot(), visibleLayers(shot()));
}

frame.addEventListener("pointermove", (event) => {
  const box = frame.getBoundingClientRect();
  pointAt({ x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height }, false);
});

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
frame.addEventListener("keydown", (event) => {
  const move = ARROWS[event.key];
  if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const [x, y] = move.map((way) => way * (event.shiftKey ? 0.1 : 0.02));
  const from = find(".point").hidden || !view.pointer ? { x: 0.5 - x, y: 0.5 - y } : view.pointer; // at first in the middle
  pointAt({ x: clamp(from.x + x), y: clamp(from.y + y) }, true);
});
frame.addEventListener("blur", () => pointAt(null, false));
frame.addEventListener("contextmenu", (event) => event.pointerType === "touch" && event.preventDefault());
for (const [kind, peek] of [["pointerdown", true], ["pointerup", false], ["pointerleave", false], ["pointercancel", false]]) {
  frame.addEventListener(kind, () => {
    view.peek = peek;
    if (kind === "pointerleave") view.pointer = null;
    drawOverlay();
  });
}

find(".picture").addEventListener("load", drawOverlay);
new ResizeObserver(drawOverlay).observe(find(".frame"));
watch(["value", "live"], receive);
fillTexts();
receive();
