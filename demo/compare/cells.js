// The pictures of a sheet and their heatmaps; what both the table and the slider draw with.

// `kind` is null as long as nobody chose one; `shown` is the kind that is drawn; `width` that of the sheet.
const sheet = { run: null, kind: null, shown: "off", width: 0 };

const cellsNow = () => props.value?.cells ?? [];

// ------------------------------------------------------------------ heatmaps

function unpackMap({ h, w, lo, hi, data }) {
  return { h, w, values: Float32Array.from(bytesOf(data), (byte) => lo + (byte * (hi - lo)) / 255) };
}

/** The clearest kind of the first picture that has maps, until the person chooses one. */
function kindNow() {
  if (sheet.kind) return sheet.kind;
  const first = cellsNow().find(({ maps }) => Object.keys(maps).length);
  const clear = (kind) => first?.maps[kind]?.every((map) => !rangeOf(unpackMap(map)).flat);
  return ["image", "influence", "text"].find(clear) ?? "image";
}

function paintCell(canvas, image, { subjects, maps }) {
  const width = Math.max(1, Math.round(image.clientWidth * (window.devicePixelRatio || 1)));
  Object.assign(canvas, { width, height: Math.max(1, Math.round((width * image.naturalHeight) / (image.naturalWidth || 1))) });
  const packed = maps[sheet.shown] ?? [];
  const layers = packed.map((map, i) => ({ ...subjects[i], subject: i, map: unpackMap(map) }));
  paintOverlay(canvas, layers, { opacity: 0.7, threshold: 0, palette: "subject", outline: false });
}

const painted = new WeakMap(); // element -> what it shows, so that nothing is painted twice

/** Put a cell's picture and heatmap into an element with an img and a canvas. */
function showCell(place, cell, alt) {
  const key = [cell.name ?? cell.image, sheet.shown, sheet.width].join();
  if (painted.get(place) === key) return;
  painted.set(place, key);
  const [image, canvas] = [place.querySelector("img"), place.querySelector("canvas")];
  image.alt = alt;
  const paint = () => paintCell(canvas, image, cell);
  image.onload = paint;
  if (image.getAttribute("src") !== sourceOf(cell.image)) image.src = sourceOf(cell.image);
  else paint();
}
