// A photo and what is kept of it: pure functions of canvases.

const NEUTRAL = "rgb(127,127,127)"; // which the core puts behind transparent parts
const MARGIN = 0.04; // around a subject that is cut out, in fractions of its longer side
const WHOLE = [0, 0, 1, 1]; // in place of a box: there is none

function canvasOf(width, height) {
  return Object.assign(document.createElement("canvas"), { width, height });
}

function copyOf(canvas) {
  const copy = canvasOf(canvas.width, canvas.height);
  copy.getContext("2d").drawImage(canvas, 0, 0);
  return copy;
}

/** The smallest box [left, top, right, bottom] in pixels around what is not transparent; null if everything is. */
function opaqueBox(canvas) {
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      if (data[4 * (y * width + x) + 3] < 16) continue;
      [left, right] = [Math.min(left, x), Math.max(right, x)];
      [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
    }
  }
  return right < 0 ? null : [left, top, right + 1, bottom + 1];
}

/**
 * What is kept of a photo as a canvas that is opaque there: the box [left, top, right, bottom] in fractions (null: nothing)
 * and what was painted to be kept, less what was erased. Null where all of the photo is kept.
 */
function keptOf({ photo, box, kept, erased }) {
  const { width, height } = photo;
  if (box === WHOLE && !erased) return null;
  const mask = canvasOf(width, height);
  const context = mask.getContext("2d");
  if (box) context.fillRect(...frameOf(photo, box));
  if (kept) context.drawImage(kept, 0, 0);
  context.globalCompositeOperation = "destination-out";
  if (erased) context.drawImage(erased, 0, 0);
  return mask;
}

/** A box in fractions of a photo as left, top, width and height in pixels. */
function frameOf({ width, height }, box) {
  return [box[0] * width, box[1] * height, (box[2] - box[0]) * width, (box[3] - box[1]) * height];
}

function inside(photo, mask) {
  const cut = copyOf(photo);
  const context = cut.getContext("2d");
  context.globalCompositeOperation = "destination-in";
  if (mask) context.drawImage(mask, 0, 0);
  return cut;
}

/**
 * What is kept of a photo, cropped to what is left, with some air that a box does not have; null if nothing is left. A
 * drawing becomes a square.
 */
function cutOut(state) {
  const { photo, box } = state;
  const cut = inside(photo, keptOf(state));
  const found = opaqueBox(cut);
  if (!found || found[2] - found[0] < 8 || found[3] - found[1] < 8) return null;
  const [x, y, w, h] = frameOf(photo, box ?? WHOLE);
  const edges = [Math.min(x, found[0]), Math.min(y, found[1]), Math.max(x + w, found[2]), Math.max(y + h, found[3])];
  const air = MARGIN * Math.max(found[2] - found[0], found[3] - found[1]);
  const [left, top] = [0, 1].map((i) => Math.floor(Math.max(edges[i], found[i] - air)));
  const [right, bottom] = [2, 3].map((i) => Math.ceil(Math.min(edges[i], found[i] + air)));
  const [wide, high] = [right - left, bottom - top];
  const out = state.drawing ? canvasOf(Math.max(wide, high), Math.max(wide, high)) : canvasOf(wide, high);
  out.getContext("2d").drawImage(cut, (out.width - wide) / 2 - left, (out.height - high) / 2 - top);
  return out;
}

/**
 * An image as a data URL of at most `maxLength` characters: PNG where it fits, else JPEG, or WebP where it is transparent
 * in parts, and smaller where that does not help (browsers without WebP write PNG instead).
 */
function encoded(picture, maxLength) {
  const exact = picture.toDataURL("image/png");
  if (exact.length <= maxLength) return exact;
  const url = picture.toDataURL(isOpaque(picture) ? "image/jpeg" : "image/webp", 0.92);
  return url.length <= maxLength ? url : encoded(scaled(picture, 0.75), maxLength);
}

function isOpaque(canvas) {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return data.every((value, place) => place % 4 < 3 || value === 255);
}

function scaled(canvas, share) {
  const copy = canvasOf(Math.round(canvas.width * share), Math.round(canvas.height * share));
  copy.getContext("2d").drawImage(canvas, 0, 0, copy.width, copy.height);
  return copy;
}

/** Draw an image as the model takes it: all of it on a black square, grey where it is transparent, as nothing is. */
function drawSquare(canvas, picture) {
  const context = canvas.getContext("2d");
  context.fillStyle = picture ? "black" : NEUTRAL;
  context.fillRect(0, 0, canvas.width, canvas.height);
  if (!picture) return;
  const scale = canvas.width / Math.max(picture.width, picture.height);
  const [w, h] = [picture.width * scale, picture.height * scale];
  const place = [(canvas.width - w) / 2, (canvas.height - h) / 2, w, h];
  context.fillStyle = NEUTRAL;
  context.fillRect(...place);
  context.drawImage(picture, ...place);
}

/** Draw what is kept in full, the rest faint, and the frame of the box. */
function drawPaper(canvas, state) {
  const { photo, box } = state;
  const { width, height } = photo;
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.fillStyle = NEUTRAL;
  context.fillRect(0, 0, width, height);
  context.globalAlpha = 0.25;
  context.drawImage(photo, 0, 0);
  context.globalAlpha = 1;
  context.drawImage(inside(photo, keptOf(state)), 0, 0);
  if (!box || box === WHOLE) return;
  const line = Math.max(2, width / 160);
  for (const [style, dash] of [["#10131a", []], ["white", [3 * line, 3 * line]]]) {
    Object.assign(context, { strokeStyle: style, lineWidth: line });
    context.setLineDash(dash);
    context.strokeRect(...frameOf(photo, box));
  }
}

/** Draw a stroke of a brush between two points in pixels; `erase` takes away. */
function stroke(canvas, from, to, size, colour, erase) {
  const context = canvas.getContext("2d");
  context.save();
  Object.assign(context, { lineCap: "round", lineJoin: "round", lineWidth: size, strokeStyle: colour });
  if (erase) context.globalCompositeOperation = "destination-out";
  context.beginPath();
  context.moveTo(...from);
  context.lineTo(to[0] + 0.01, to[1]); // a line of no length, from a click, would leave nothing
  context.stroke();
  context.restore();
}
