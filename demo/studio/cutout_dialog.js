// A dialog to cut a subject out of its photo, by a box, a brush or its own transparency, or to draw one.
// Gradio gives `element` and `trigger`. It is opened by a button with data-cut="slot,number" (a photo of a card) or
// #draw-1 to #draw-4; the result goes to the server as `cut` {slot, number or null, image: data URL}.

const MAX_SIDE = 1024; // pixels; the core keeps no more
const MAX_SENT = 750_000; // characters of an image; a hosted page takes requests of a megabyte
const DRAWING_SIDE = 512; // pixels
const MAX_UNDOS = 20;
const WHOLE = [0, 0, 1, 1];

let at = null; // {slot, number, drawing, photo, mask, box, before: [{photo, mask, box}], last: point, start: point}
let openedBy = null;

const toolNow = () => find("[name=cut-tool]:checked").value;

function show() {
  find(".paper").style.setProperty("--ratio", at.photo.width / at.photo.height);
  drawPaper(find(".paper"), at.photo, at.mask, at.box);
  const cut = cutOut(at.photo, at.mask, at.box);
  drawSquare(find(".sees"), cut);
  find(".nothing").hidden = Boolean(cut) || at.drawing;
  find(".apply").disabled = !cut;
  find(".undo").disabled = !at.before.length;
  find(".box-only").hidden = toolNow() !== "box";
  find(".brush-only").hidden = toolNow() === "box";
  find(".pen-only").hidden = toolNow() !== "pen";
  for (const edge of findAll("[data-edge]")) edge.value = Math.round(100 * at.box[edge.dataset.edge]);
}

function remember() {
  const { photo, mask, box } = at;
  at.before.push({ photo: at.drawing ? copyOf(photo) : photo, mask: mask && copyOf(mask), box });
  at.before.splice(0, at.before.length - MAX_UNDOS);
}

function begin(slot, number, photo) {
  const drawing = number === null;
  at = { slot, number, drawing, photo, mask: null, box: WHOLE, before: [], fresh: copyOf(photo) };
  for (const node of findAll("[data-for]")) node.hidden = (node.dataset.for === "draw") !== drawing;
  find(`[value=${drawing ? "pen" : "box"}]`).checked = true;
  find("dialog").showModal();
  show();
}

async function openPhoto(slot, number) {
  const source = document.querySelectorAll(`#photos-${slot + 1} .grid-container img`)[number]?.src;
  if (!source) return;
  const image = new Image();
  image.src = source;
  await image.decode();
  const scale = Math.min(1, MAX_SIDE / Math.max(image.naturalWidth, image.naturalHeight));
  const photo = canvasOf(Math.round(image.naturalWidth * scale), Math.round(image.naturalHeight * scale));
  photo.getContext("2d").drawImage(image, 0, 0, photo.width, photo.height);
  begin(slot, number, photo);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-cut], #draw-1, #draw-2, #draw-3, #draw-4");
  if (!button) return;
  openedBy = button;
  if (!button.dataset.cut) return begin(Number(button.id.slice(5)) - 1, null, canvasOf(DRAWING_SIDE, DRAWING_SIDE));
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
  if (!at.mask) {
    at.mask = canvasOf(width, height); // "keep" begins with nothing, "erase" with everything
    if (tool === "erase") at.mask.getContext("2d").fillRect(0, 0, width, height);
  }
  stroke(at.mask, a, b, size, "black", tool === "erase");
}

function drag(from, to) {
  const [left, right] = [from[0], to[0]].sort((a, b) => a - b);
  const [top, bottom] = [from[1], to[1]].sort((a, b) => a - b);
  at.box = right - left > 0.02 && bottom - top > 0.02 ? [left, top, right, bottom] : WHOLE;
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
    const box = [...at.box];
    box[edge] = event.target.value / 100;
    if (box[2] - box[0] > 0.02 && box[3] - box[1] > 0.02) at.box = box;
  }
  if (edge !== undefined || event.target.name === "cut-tool") show();
});

element.addEventListener("click", (event) => {
  if (event.target.matches(".undo")) Object.assign(at, at.before.pop());
  else if (event.target.matches(".reset")) {
    remember();
    Object.assign(at, { photo: copyOf(at.fresh), mask: null, box: WHOLE });
  } else if (event.target.matches(".apply")) return apply();
  else if (event.target.matches(".cancel")) return find("dialog").close();
  else return;
  show();
});

function apply() {
  const image = encoded(cutOut(at.photo, at.mask, at.box), MAX_SENT);
  trigger("cut", { slot: at.slot, number: at.number, image });
  find("dialog").close();
}

find("dialog").addEventListener("close", () => {
  at = null;
  openedBy?.focus();
});
