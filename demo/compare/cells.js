// The pictures of a comparison and their heatmaps; what both the grid and the lens draw with.

const PREFERRED_KINDS = ["image", "influence", "text"]; // the clearest first
const CELL_STYLE = { opacity: 1, threshold: 0, palette: "subject", outline: true };

const gridView = {
  run: null,
  kind: null, // of map; null until somebody chooses one
  shownKind: "off", // the kind that is drawn
};

const cellsNow = () => props.value?.cells ?? [];

/** The chosen kind of map; until then the clearest one of the first picture that has maps. */
function kindNow() {
  if (gridView.kind) return gridView.kind;
  const first = cellsNow().find(({ maps }) => maps.steps > 0);
  const isFlat = (map) => !map || rangeOf(map).flat;
  const isClear = (kind) => first?.subjects.every((_, i) => !isFlat(mapOf(first.maps, kind, i)));
  return PREFERRED_KINDS.find(isClear) ?? PREFERRED_KINDS[0];
}

function paintCell(canvas, image, { subjects, maps }) {
  fitCanvas(canvas, image);
  const layers = subjects.map((subject, i) => ({ ...subject, subject: i, map: mapOf(maps, gridView.shownKind, i) }));
  const shown = layers.filter(({ map }) => map);
  paintOverlay(canvas, image, shown.every(({ map }) => rangeOf(map).flat) ? [] : shown, CELL_STYLE);
}

const painted = new WeakMap(); // element -> what it shows, so that nothing is painted twice

/** Why there is no map of the chosen kind, in its place; empty where there is one. */
function tellGap(place, cell) {
  const note = place.querySelector(".gap");
  const key = cell?.gaps?.[gridView.shownKind];
  note.hidden = !key;
  note.textContent = key ? t(key) : "";
}

/** Leave nothing of a picture that was not finished. */
function clearCell(place) {
  painted.delete(place);
  const [image, canvas] = [place.querySelector("img"), place.querySelector("canvas")];
  image.removeAttribute("src");
  canvas.getContext("2d", { willReadFrequently: true }).clearRect(0, 0, canvas.width, canvas.height);
}

/**
 * Put a cell's picture and heatmap into an element with an img and a canvas. In a tab that is not in sight nothing has a
 * size: what is painted there stays as it is.
 */
function showCell(place, cell, alt) {
  if (!place.clientWidth) return;
  const key = [cell.name ?? cell.image, gridView.shownKind, place.clientWidth].join();
  if (painted.get(place) === key) return;
  painted.set(place, key);
  const [image, canvas] = [place.querySelector("img"), place.querySelector("canvas")];
  image.alt = alt;
  const paint = () => paintCell(canvas, image, cell);
  image.onload = paint;
  if (image.getAttribute("src") !== sourceOf(cell.image)) image.src = sourceOf(cell.image);
  else paint();
}
