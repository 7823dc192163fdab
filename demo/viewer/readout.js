// What the maps say at a point of the heatmap, in a label near the pointer; and the line below, about the maps as a whole.

const LABEL_GAP = { mouse: 14, finger: 48 }; // CSS pixels between the point and the label; a finger covers more
const LABEL_MARGIN = 4; // to the picture's edges

function readoutText(frame, layers) {
  if (view.peek) return t("peek");
  const wanted = frame.subjects.some((_, i) => !view.hidden.has(i));
  if (wanted && !layers.length) return t("no_such_map");
  const flat = layers.filter(({ map }) => isFlat(map)).map(({ name }) => name);
  if (flat.length) return t(isAloneWithoutNull(frame) ? "even_alone" : "even_map", { names: listed(flat) });
  if (!layers.length) return "";
  return isInPlaceOfImage(frame) ? `${t("influence_first")} ${t("point_help")}` : t("point_help");
}

/** The values at the point that is read, a line for each map; empty where none is. */
function readingText(frame, layers) {
  const isPressed = view.peek && find(".point").hidden; // by a mouse, to see the picture
  if (!view.pointer || isPressed) return "";
  const { x, y } = view.pointer;
  return layers.map(({ name, map }) => `${name} ${valueText(frame, valueAt(map, x, y), 1)}`).join("\n");
}

/**
 * Where a label of some size goes in a box, all in pixels: above the point, where there is no room below it, and beside a
 * finger, whose hand lies below; never outside the box.
 */
function labelPlace(point, label, box, isFinger) {
  const gap = isFinger ? LABEL_GAP.finger : LABEL_GAP.mouse;
  const within = (at, size, whole) => clamp(at, LABEL_MARGIN, Math.max(LABEL_MARGIN, whole - size - LABEL_MARGIN));
  const left = within(point.x - label.w / 2, label.w, box.w);
  const above = point.y - gap - label.h;
  if (above >= LABEL_MARGIN) return { left, top: above };
  if (!isFinger) return { left, top: within(point.y + gap, label.h, box.h) };
  const beside = point.x > box.w / 2 ? point.x - gap - label.w : point.x + gap;
  return { left: within(beside, label.w, box.w), top: within(above, label.h, box.h) };
}

/** Write a text only where it changes: screen readers read it aloud. */
function retell(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function drawReadout(frame, layers) {
  retell(find(".readout"), readoutText(frame, layers));
  const label = find(".reading");
  retell(label, readingText(frame, layers));
  if (!label.textContent) return;
  const { offsetWidth: w, offsetHeight: h } = heatmapBox;
  const point = { x: view.pointer.x * w, y: view.pointer.y * h };
  const size = { w: label.offsetWidth, h: label.offsetHeight };
  const { left, top } = labelPlace(point, size, { w, h }, view.finger);
  Object.assign(label.style, { left: `${left}px`, top: `${top}px` });
}

const heatmapBox = find(".heatmap-box");

/** Read the values at a point in fractions of the picture, null for none; `marked`: mark it, as there is no pointer. */
function pointAt(point, marked, finger = false) {
  Object.assign(view, { pointer: point, finger });
  const mark = find(".point");
  mark.hidden = !marked;
  if (marked) Object.assign(mark.style, { left: `${100 * point.x}%`, top: `${100 * point.y}%` });
  if (frameNow()?.image) drawReadout(frameNow(), visibleLayers(frameNow()));
}

/** Read the values below the pointer; a finger covers what it points at, and leaves a mark there. */
function pointBelow(event) {
  const box = heatmapBox.getBoundingClientRect();
  const point = { x: clamp((event.clientX - box.left) / box.width), y: clamp((event.clientY - box.top) / box.height) };
  const isTouch = event.pointerType === "touch";
  pointAt(point, isTouch, isTouch);
}

heatmapBox.addEventListener("pointermove", pointBelow);

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
heatmapBox.addEventListener("keydown", (event) => {
  const move = ARROWS[event.key];
  if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const [x, y] = move.map((way) => way * (event.shiftKey ? 0.1 : 0.02));
  const from = find(".point").hidden || !view.pointer ? { x: 0.5 - x, y: 0.5 - y } : view.pointer; // the first key press: the middle
  pointAt({ x: clamp(from.x + x), y: clamp(from.y + y) }, true);
});
heatmapBox.addEventListener("blur", () => pointAt(null, false));
heatmapBox.addEventListener("contextmenu", (event) => event.pointerType === "touch" && event.preventDefault());
for (const [kind, peek] of [["pointerdown", true], ["pointerup", false], ["pointerleave", false], ["pointercancel", false]]) {
  heatmapBox.addEventListener(kind, (event) => {
    view.peek = peek;
    if (kind === "pointerleave" && event.pointerType !== "touch") view.pointer = null; // a finger is lifted to read
    if (kind === "pointerup") pointBelow(event);
    drawOverlay();
  });
}
