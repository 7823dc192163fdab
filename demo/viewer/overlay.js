// Maps as pictures on a canvas.
//
// A layer is {map, colour, name, subject}. A style is {opacity, threshold, palette, outline}: opacity and threshold from
// 0 to 1, palette "subject", "viridis" or "inferno".

/** A canvas of h x w pixels: `colourAt` gives [red, green, blue, alpha from 0 to 1] of a strength from 0 to 1. */
function strengthCanvas(map, colourAt) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: map.w, height: map.h });
  const pixels = new ImageData(map.w, map.h);
  map.values.forEach((value, i) => {
    const [red, green, blue, alpha] = colourAt(value);
    pixels.data.set([red, green, blue, 255 * alpha], 4 * i);
  });
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}

const FINE = 96; // pixels of the longer side at least

/** The map enlarged, so that the edge of a threshold is smooth. */
function fine(map) {
  const scale = Math.max(1, Math.ceil(FINE / Math.max(map.h, map.w)));
  return resized(map, map.h * scale, map.w * scale);
}

/** The greatest of several scaled maps at every pixel. */
function greatest(maps) {
  const values = maps[0].values.map((_, i) => Math.max(...maps.map((map) => map.values[i])));
  return { h: maps[0].h, w: maps[0].w, values };
}

function drawOver(canvas, source, alpha) {
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.globalAlpha = alpha;
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  context.globalAlpha = 1;
}

/** Layers over a dimmed picture in their subjects' colours; the canvas is transparent where nothing attends. */
function paintTints(canvas, layers, style) {
  const context = canvas.getContext("2d");
  context.globalAlpha = 0.45 * style.opacity;
  context.fillStyle = "#10131a";
  context.fillRect(0, 0, canvas.width, canvas.height);
  for (const { scaled, colour } of layers) {
    const rgb = rgbOf(colour);
    const shown = (value) => (value > 0 && value >= style.threshold ? Math.pow(value, 1.3) : 0);
    drawOver(canvas, strengthCanvas(scaled, (value) => [...rgb, shown(value)]), style.opacity);
  }
}

/** One picture of all layers in a perceptual palette, where the strongest subject counts. */
function paintPalette(canvas, layers, style) {
  const shown = (value) => (value > 0 || style.threshold === 0) && value >= style.threshold;
  const map = greatest(layers.map(({ scaled }) => scaled));
  const source = strengthCanvas(map, (value) => [...paletteColour(style.palette, value), shown(value) ? 1 : 0]);
  drawOver(canvas, source, style.opacity);
}

function strokeOutline(canvas, { scaled, colour }, level) {
  const context = canvas.getContext("2d");
  const lines = new Path2D();
  for (const [x1, y1, x2, y2] of contourLines(scaled, level)) {
    lines.moveTo(x1 * canvas.width, y1 * canvas.height);
    lines.lineTo(x2 * canvas.width, y2 * canvas.height);
  }
  const width = Math.max(1, canvas.width / 260);
  context.lineCap = "round";
  for (const [ink, thickness] of [["rgba(255,255,255,0.9)", 2.4 * width], [colour, 1.4 * width]]) {
    Object.assign(context, { strokeStyle: ink, lineWidth: thickness });
    context.stroke(lines);
  }
}

/** Where outlines run: at the threshold, or at half the range where there is none. */
const outlineLevel = (style) => style.threshold || 0.5;

function paintOverlay(canvas, layers, style) {
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  const prepared = layers.map((layer) => ({ ...layer, scaled: fine(scaledMap(layer.map)) }));
  if (!prepared.length) return;
  (style.palette === "subject" ? paintTints : paintPalette)(canvas, prepared, style);
  if (style.outline) for (const layer of prepared) strokeOutline(canvas, layer, outlineLevel(style));
}
