// Heatmaps in the browser: pure functions, nothing kept.
//
// A packed map is {h, w, lo, hi, data}: h*w bytes in base64, byte 0 stands for lo and byte 255 for hi.
// A map is {h, w, values}: Float32Array of h*w attention weights, row by row.

function unpackMap(packed) {
  const bytes = Uint8Array.from(atob(packed.data), (letter) => letter.charCodeAt(0));
  const scale = (packed.hi - packed.lo) / 255;
  return { h: packed.h, w: packed.w, values: Float32Array.from(bytes, (byte) => packed.lo + byte * scale) };
}

/** The mean of packed maps of one size; null where there is none. */
function averageMaps(packed) {
  const maps = packed.filter(Boolean).map(unpackMap);
  if (!maps.length) return null;
  const values = new Float32Array(maps[0].values.length);
  for (const map of maps) map.values.forEach((value, i) => (values[i] += value / maps.length));
  return { h: maps[0].h, w: maps[0].w, values };
}

/** From the lowest value to the 99th percentile, as the command line's overlays; `flat`: the map points nowhere. */
function rangeOf(map) {
  const sorted = Float32Array.from(map.values).sort();
  const [lo, hi] = [sorted[0], sorted[Math.floor(0.99 * (sorted.length - 1))]];
  return { lo, hi, flat: hi - lo <= 0.02 * Math.abs(hi) };
}

function rgbOf(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

/** A canvas of h x w pixels in the subject's colour, more opaque where the attention is higher. */
function tintedCanvas(map, hex) {
  const canvas = document.createElement("canvas");
  canvas.width = map.w;
  canvas.height = map.h;
  const { lo, hi, flat } = rangeOf(map);
  const [red, green, blue] = rgbOf(hex);
  const pixels = new ImageData(map.w, map.h);
  map.values.forEach((value, i) => {
    const strength = flat ? 0 : Math.min(1, (value - lo) / (hi - lo));
    pixels.data.set([red, green, blue, 255 * Math.pow(strength, 1.3)], 4 * i);
  });
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}

/** Draws the layers [{map, colour}] over a dimmed picture; the canvas is transparent where nothing attends. */
function paintOverlay(canvas, layers, opacity) {
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (!layers.length) return;
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.globalAlpha = 0.45 * opacity;
  context.fillStyle = "#10131a";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.globalAlpha = opacity;
  for (const { map, colour } of layers) {
    context.drawImage(tintedCanvas(map, colour), 0, 0, canvas.width, canvas.height);
  }
}

/** The map's value at a point given in fractions of the picture's width and height. */
function valueAt(map, x, y) {
  const column = Math.min(map.w - 1, Math.max(0, Math.floor(x * map.w)));
  const row = Math.min(map.h - 1, Math.max(0, Math.floor(y * map.h)));
  return map.values[row * map.w + column];
}
