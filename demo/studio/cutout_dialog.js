// A dialog to cut a subject out of its photo, by a box, a brush or its own transparency, or to draw one.
// Gradio gives `element` and `trigger`. It is opened by a button with data-cut="slot,number" (a photo of a card) or
// #draw-1 to #draw-4; the result goes to the server as `cut` {slot, number or null, image: data URL, original: path}, of
// which one of the last two is null. The server answers with props.made, {path, original} of the photo that was cut, so
// that the photo as it was can be taken again; the browser's tab remembers it.

const MAX_SIDE = 1024; // pixels; the core keeps no more
const MAX_SENT = 750_000; // characters of an image; a hosted page takes requests of a megabyte
const DRAWING_SIDE = 512; // pixels
const MAX_UNDOS = 20;
const MAX_UNFINISHED = 4;
const ORIGINALS_KEY = "mmdiff-originals"; // {path of what was cut out: path of the photo as it was}

// {slot, number, drawing, work, before: [what `stateOf` gives], last: point, start: point} and the state: `photo`; `source`, its
// path where it is the untouched original; `box`, WHOLE or null, see keptOf; `kept` and `erased`, canvases of strokes.
let at = null;
let openedBy = null;

// What the dialog was closed on without using it is there when it opens again: `at` by `work`, a photo's URL or a drawing's
// place, the last one last.
const unfinished = new Map();

const toolNow = () => find("[name=cut-tool]:checked").value;

function show() {
  find(".paper").style.setProperty("--ratio", at.photo.width / at.photo.height);
  drawPaper(find(".paper"), at);
  const cut = cutOut(at);
  drawSquare(find(".sees"), cut);
  find(".nothing").hidden = Boolean(cut) || at.drawing;
  find(".apply").disabled = !cut;
  find(".undo").disabled = !at.before.length;
  find(".box-only").hidden = toolNow() !== "box";
  find(".brush-only").hidden = toolNow() === "box";
  find(".pen-only").hidden = toolNow() !== "pen";
  find(".original").hidden = !at.original || Boolean(at.source);
  for (const edge of findAll("[data-edge]")) edge.value = Math.round(100 * (at.box ?? WHOLE)[edge.dataset.edge]);
}

function stateOf({ photo, source, box, kept, erased }) {
  const copies = { photo: at.drawing ? copyOf(photo) : photo, kept: kept && copyOf(kept), erased: erased && copyOf(erased) };
  return { ...copies, source, box };
}

function remember() {
  at.before.push(stateOf(at));
  at.before.splice(0, at.before.length - MAX_UNDOS);
}

const untouched = { source: null, box: WHOLE, kept: null, erased: null };

// ------------------------------------------------------------------ photos as they were

function originals() {
  try {
    return JSON.parse(sessionStorage.getItem(ORIGINALS_KEY)) ?? {};
  } catch {
    return {}; // storage is switched off
  }
}

/** The path on the server of the file that a URL leads to. */
const pathOf = (url) => decodeURIComponent(new URL(url, location.href).pathname.split("/file=")[1] ?? "");

watch("made", () => {
  const known = originals();
  const { path, original } = props.made;
  try {
    sessionStorage.setItem(ORIGINALS_KEY, JSON.stringify({ ...known, [path]: known[original] ?? original }));
  } catch {
    // storage is full or switched off: then there is only Undo
  }
});

async function backToOriginal() {
  const photo = await canvasFrom(at.originalUrl);
  remember();
  Object.assign(at, { photo, ...untouched, source: at.original });
  show();
}

function begin(slot, number, photo, work, original = null) {
  const drawing = number === null;
  const fresh = { photo, ...untouched, before: [], fresh: copyOf(photo), ...original };
  at = { ...(unfinished.get(work) ?? fresh), slot, number, drawing, work, start: null };
  find(".resumed").hidden = !unfinished.has(work);
  for (const node of findAll("[data-for]")) node.hidden = (node.dataset.for === "draw") !== drawing;
  find(`[value=${drawing ? "pen" : "box"}]`).checked = true;
  find("dialog").showModal();
  show();
}

/** A photo of the server, at most MAX_SIDE pixels a side. */
async function canvasFrom(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  const scale = Math.min(1, MAX_SIDE / Math.max(image.naturalWidth, image.naturalHeight));
  const photo = canvasOf(Math.round(image.naturalWidth * scale), Math.round(image.naturalHeight * scale));
  photo.getContext("2d").drawImage(image, 0, 0, photo.width, photo.height);
  return photo;
}

async function openPhoto(slot, number) {
  const url = document.querySelectorAll(`#photos-${slot + 1} .grid-container img`)[number]?.src;
  if (!url) return;
  const original = originals()[pathOf(url)];
  const originalUrl = original && `${url.split("/file=")[0]}/file=${original}`;
  begin(slot, number, await canvasFrom(url), url, original ? { original, originalUrl } : {});
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-cut], #draw-1, #draw-2, #draw-3, #draw-4");
  if (!button) return;
  openedBy = button;
  if (!button.dataset.cut) {
    return begin(Number(button.id.slice(5)) - 1, null, canvasOf(DRAWING_SIDE, DRAWING_SIDE), button.id);
  }
  openPhoto(...button.dataset.cut.split(",").map(Number));
});

// ------------------------------------------------------------------ drawing

function pointOf(event) {
  const box = find(".paper").getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height].map((x) => clamp(x));
}

function paint(from, to) {
  const { width, height } = at.photo;
  const [a, b] = [from, to].map(([x, y]) => [x * width, y * height]);
  const size = (find(".brush").value / 200) * Math.max(width, height);
  const tool = toolNow();
  if (at.drawing) return stroke(at.photo, a, b, size, find(".colour").value, tool === "erase");
  const [own, other] = tool === "keep" ? ["kept", "erased"] : ["erased", "kept"];
  if (tool === "keep" && at.box === WHOLE && !at.erased) at.box = null; // painting begins with nothing, erasing with all
  at[own] ??= canvasOf(width, height);
  stroke(at[own], a, b, size, "black", false);
  if (at[other]) stroke(at[other], a, b, size, "black", true);
}

function drag(from, to) {
  const [left, right] = [from[0], to[0]].sort((a, b) => a - b);
  const [top, bottom] = [from[1], to[1]].sort((a, b) => a - b);
  at.box = right - left > 0.02 && bottom - top > 0.02 ? [left, top, right, bottom] : at.before.at(-1).box;
}

const paper = find(".paper");
paper.addEventListener("pointerdown", (event) => {
  paper.setPointerCapture(event.pointerId);
  remember();
  at.start = at.last = pointOf(event);
  if (toolNow() !== "box") paint(at.start, at.start);
  show();
});
paper.addEventListener("pointermove", (event) => {
  if (!at?.start) return;
  const to = pointOf(event);
  if (toolNow() === "box") drag(at.start, to);
  else paint(at.last, to);
  at.last = to;
  show();
});
for (const kind of ["pointerup", "pointercancel"]) paper.addEventListener(kind, () => at && (at.start = null));

// ------------------------------------------------------------------ buttons and sliders

element.addEventListener("input", (event) => {
  const edge = event.target.dataset.edge;
  if (edge !== undefined) {
    const box = [...(at.box ?? WHOLE)];
    box[edge] = event.target.value / 100;
    if (box[2] - box[0] > 0.02 && box[3] - box[1] > 0.02) at.box = box.every((side, i) => side === WHOLE[i]) ? WHOLE : box;
  }
  if (edge !== undefined || event.target.name === "cut-tool") show();
});

element.addEventListener("click", (event) => {
  if (event.target.matches(".undo")) Object.assign(at, at.before.pop());
  else if (event.target.matches(".original")) return backToOriginal();
  else if (event.target.matches(".reset")) {
    remember();
    Object.assign(at, { photo: copyOf(at.fresh), ...untouched });
  } else if (event.target.matches(".apply")) return apply();
  else if (event.target.matches(".cancel")) return find("dialog").close();
  else return;
  show();
});

function apply() {
  const original = keptOf(at) ? null : at.source; // the very file, where nothing is cut off
  const image = original ? null : encoded(cutOut(at), MAX_SENT);
  trigger("cut", { slot: at.slot, number: at.number, image, original });
  at.before = []; // it is finished
  find("dialog").close();
}

function keepUnfinished() {
  unfinished.delete(at.work);
  if (at.before.length) unfinished.set(at.work, at);
  for (const work of [...unfinished.keys()].slice(0, -MAX_UNFINISHED)) unfinished.delete(work);
}

find("dialog").addEventListener("keydown", (event) => {
  const asked = event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey;
  if (!asked || !at.before.length) return;
  event.preventDefault();
  find(".undo").click();
});

find("dialog").addEventListener("close", () => {
  keepUnfinished();
  at = null;
  openedBy?.focus();
});
