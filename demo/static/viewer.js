// The result: pictures, their heatmaps and the progress of the one being made. Runs in the browser alone.
//
// Gradio gives `element`, `props` and `watch`. The server sets two properties:
//   props.value  {run, pictures: [shot]}    finished pictures of the run
//   props.live   shot with its `run` and a `progress` {text, done}, or null when nothing runs; without `image` as
//                long as it waits
// A shot is {image, caption, sentence: [{text, subject}], subjects: [{name, colour}], maps: [{stream: [packed]}]},
// one entry of `maps` per step; `subject` and the inner lists count the shot's subjects.

const KINDS = {
  text: "Where the model reads the subject's word in the prompt.",
  image: "Where the model looks at the subject's photos.",
  influence: "How much of what each spot becomes is owed to the subject's photos.",
};
const KEPT = 16;

const find = (selector) => element.querySelector(selector);
const view = { run: null, shelf: [], chosen: 0, hidden: new Set(), solo: null, kind: "influence", step: 0, peek: false };

// ------------------------------------------------------------------ what is looked at

const isLive = () => Boolean(props.live) && view.chosen === -1;
const shot = () => (isLive() ? props.live : view.shelf[view.chosen]) || null;
const sourceOf = (image) => (typeof image === "string" ? image : image.url);

/** The chosen map of one subject: of one step, or the mean of all steps where the slider stands at 0. */
function mapOf(shown, subject) {
  const steps = view.step && !isLive() ? [shown.maps[view.step - 1]] : shown.maps;
  return averageMaps(steps.map((streams) => streams?.[view.kind]?.[subject] ?? null));
}

function visibleLayers(shown) {
  return shown.subjects
    .map(({ name, colour }, i) => ({ name, colour, subject: i }))
    .filter(({ subject }) => (view.solo === null ? !view.hidden.has(subject) : view.solo === subject))
    .map((layer) => ({ ...layer, map: mapOf(shown, layer.subject) }))
    .filter(({ map }) => map);
}

// ------------------------------------------------------------------ drawing

function make(tag, attributes, text) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

function drawSentence(shown) {
  const words = shown.sentence.map(({ text, subject }) => {
    if (subject === null) return document.createTextNode(text);
    const mark = make("mark", { "data-subject": subject }, text);
    mark.style.setProperty("--subject", shown.subjects[subject].colour);
    return mark;
  });
  find(".sentence").replaceChildren(...words);
}

function drawSubjects(shown) {
  const toggles = shown.subjects.map(({ name, colour }, i) => {
    const toggle = make("button", { type: "button", class: "chip", "data-subject": i }, name);
    toggle.setAttribute("aria-pressed", String(!view.hidden.has(i)));
    toggle.style.setProperty("--subject", colour);
    return toggle;
  });
  if (toggles.length > 1) toggles.push(make("button", { type: "button", class: "chip all" }, allLabel(shown)));
  find(".subjects").replaceChildren(...toggles);
}

const allLabel = (shown) => (shown.subjects.some((_, i) => view.hidden.has(i)) ? "Show all" : "Hide all");

function drawControls(shown) {
  for (const radio of element.querySelectorAll(".kinds input")) radio.checked = radio.value === view.kind;
  find(".kind-help").textContent = KINDS[view.kind];
  const slider = find(".step");
  slider.max = shown.maps.length;
  slider.disabled = isLive();
  slider.value = view.step = Math.min(view.step, shown.maps.length);
  const text = view.step ? `${view.step} of ${shown.maps.length}` : "all, averaged";
  find(".step-text").textContent = isLive() ? "newest" : text;
  slider.setAttribute("aria-valuetext", text);
  find(".opacity-text").textContent = `${find(".opacity").value} %`;
}

function drawOverlay() {
  const shown = shot();
  if (!shown) return;
  const [canvas, picture] = [find(".overlay"), find(".picture")];
  const width = Math.max(1, Math.round(picture.clientWidth * (window.devicePixelRatio || 1)));
  canvas.width = width;
  canvas.height = Math.max(1, Math.round((width * picture.naturalHeight) / (picture.naturalWidth || 1)));
  const layers = view.peek ? [] : visibleLayers(shown);
  paintOverlay(canvas, layers, find(".opacity").value / 100);
  find(".readout").textContent = readoutText(shown, layers);
}

function readoutText(shown, layers) {
  if (view.peek) return "The picture alone, as long as you hold it.";
  const wanted = shown.subjects.some((_, i) => !view.hidden.has(i));
  if (wanted && !layers.length) return "No such map at this step: the photos join later.";
  const flat = layers.filter(({ map }) => rangeOf(map).flat).map(({ name }) => name);
  if (flat.length) return `The map of ${flat.join(" and ")} is even all over: it points nowhere.`;
  if (view.pointer) {
    const { x, y } = view.pointer;
    return "Here: " + layers.map(({ name, map }) => `${name} ${(100 * valueAt(map, x, y)).toFixed(1)} %`).join(" · ");
  }
  return layers.length ? "Point at the heatmap to read values; hold it to see the picture under it." : "";
}

function drawThumbs() {
  const entries = view.shelf.map((entry, i) => [i, sourceOf(entry.image), entry.caption]);
  if (props.live?.image) entries.unshift([-1, sourceOf(props.live.image), "the picture in the making"]);
  const thumbs = entries.map(([index, source, caption]) => {
    const thumb = make("button", { type: "button", class: "thumb", "data-index": index, title: caption });
    thumb.setAttribute("aria-pressed", String(index === view.chosen));
    thumb.append(make("img", { src: source, alt: caption }));
    return thumb;
  });
  find(".thumbs").replaceChildren(...(thumbs.length > 1 ? thumbs : []));
}

function drawProgress() {
  const progress = props.live?.progress;
  find(".progress").hidden = !progress;
  if (!progress) return;
  find(".step-line").textContent = progress.text;
  find(".track").setAttribute("aria-valuenow", String(Math.round(100 * progress.done)));
  find(".track").classList.toggle("waiting", !props.live.image);
  find(".track span").style.width = `${100 * progress.done}%`;
}

function draw() {
  const shown = shot();
  find(".viewer").dataset.state = shown?.image ? "shown" : props.live ? "waiting" : "empty";
  drawProgress();
  drawThumbs();
  find(".inspect").hidden = !shown?.image;
  if (!shown?.image) return;
  const mapped = shown.subjects.length > 0 && shown.maps.length > 0;
  find(".stage").classList.toggle("single", !mapped);
  for (const [picture, alt] of [[find(".bare"), shown.caption], [find(".picture"), mapped ? "" : shown.caption]]) {
    if (picture.getAttribute("src") !== sourceOf(shown.image)) picture.src = sourceOf(shown.image);
    picture.alt = alt;
    picture.classList.toggle("rough", isLive());
  }
  drawSentence(shown);
  drawSubjects(shown);
  drawControls(shown);
  find(".controls").hidden = !mapped;
  find(".keep").hidden = isLive();
  find(".facts").textContent = shown.facts ?? "";
  if (!isLive()) Object.assign(find(".save"), { href: sourceOf(shown.image), download: shown.file });
  drawOverlay();
}

// ------------------------------------------------------------------ news from the server

function follow(run) {
  Object.assign(view, { followed: run, chosen: -1, step: 0, hidden: new Set() });
}

function receive() {
  const value = props.value;
  const before = view.shelf.length;
  if (value && value.run !== view.run) Object.assign(view, { run: value.run, older: view.shelf });
  view.shelf = [...(value?.pictures ?? []), ...(view.older ?? [])].slice(0, KEPT);
  if (props.live?.image && props.live.run !== view.followed) follow(props.live.run);
  if (!props.live && view.chosen === -1) {
    view.chosen = Math.max(0, Math.min(props.value?.pictures?.length ?? 1, view.shelf.length) - 1);
    if (view.shelf.length > before) find(".announce").textContent = "The picture is ready.";
  }
  draw();
}

// ------------------------------------------------------------------ what the person does

function toggleSubject(subject) {
  view.solo = null;
  if (!view.hidden.delete(subject)) view.hidden.add(subject);
}

function toggleAll() {
  const some = view.hidden.size > 0;
  view.hidden = new Set(some ? [] : shot().subjects.keys());
}

element.addEventListener("click", (event) => {
  const target = event.target.closest("[data-index], [data-subject], .all, .save-overlay");
  if (!target) return;
  if (target.matches("[data-index]")) Object.assign(view, { chosen: Number(target.dataset.index), solo: null });
  if (target.matches(".chip[data-subject]")) toggleSubject(Number(target.dataset.subject));
  if (target.matches(".all")) toggleAll();
  if (target.matches(".save-overlay")) return saveOverlay();
  const again = [".chip.all", `.chip[data-subject="${target.dataset.subject}"]`, `.thumb[data-index="${target.dataset.index}"]`];
  draw();
  find(again.find((selector) => target.matches(selector)) ?? "none")?.focus();
});

element.addEventListener("input", (event) => {
  if (event.target.matches(".kinds input")) view.kind = event.target.value;
  if (event.target.matches(".step")) view.step = Number(event.target.value);
  if (shot()) drawControls(shot());
  drawOverlay();
});

// Pointing at a word or a chip shows that subject alone for as long.
for (const [kind, leaves] of [["pointerover", false], ["pointerout", true]]) {
  element.addEventListener(kind, (event) => {
    const target = event.target.closest("mark[data-subject], .chip[data-subject]");
    if (!target || event.pointerType === "touch") return;
    view.solo = leaves ? null : Number(target.dataset.subject);
    drawOverlay();
  });
}

const frame = find(".frame");
frame.addEventListener("pointermove", (event) => {
  const box = frame.getBoundingClientRect();
  view.pointer = { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
  if (shot()) find(".readout").textContent = readoutText(shot(), visibleLayers(shot()));
});
frame.addEventListener("contextmenu", (event) => event.pointerType === "touch" && event.preventDefault());
for (const [kind, peek] of [["pointerdown", true], ["pointerup", false], ["pointerleave", false], ["pointercancel", false]]) {
  frame.addEventListener(kind, () => {
    view.peek = peek;
    if (kind === "pointerleave") view.pointer = null;
    drawOverlay();
  });
}

function saveOverlay() {
  const picture = find(".picture");
  const sheet = make("canvas", { width: picture.naturalWidth, height: picture.naturalHeight });
  const layers = document.createElement("canvas");
  Object.assign(layers, { width: sheet.width, height: sheet.height });
  paintOverlay(layers, visibleLayers(shot()), find(".opacity").value / 100);
  sheet.getContext("2d").drawImage(picture, 0, 0);
  sheet.getContext("2d").drawImage(layers, 0, 0);
  make("a", { href: sheet.toDataURL("image/png"), download: shot().file.replace(/\.png$/, "-heatmap.png") }).click();
}

find(".picture").addEventListener("load", drawOverlay);
new ResizeObserver(drawOverlay).observe(find(".frame"));
watch(["value", "live"], receive);
receive();
