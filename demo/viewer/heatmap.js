// Arithmetic on maps of attention: pure functions, nothing kept.
//
// A map is {h, w, values}: Float32Array of h*w attention weights, row by row.
// A packed group holds the maps of one layer with its H heads, or of all layers of one size averaged (layer "", heads 1),
// at K steps for S subjects: {h, w, layer, layers, heads, steps, data, ranges}; data is K*S*H*h*w bytes in base64,
// ranges K*S*H pairs of float32: what bytes 0 and 255 of a map stand for.

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

/** {h, w, layers, steps, bytes, ranges, subjects} */
function unpackGroup(packed) {
  const bytes = bytesOf(packed.data);
  const ranges = new Float32Array(bytesOf(packed.ranges).buffer);
  return { ...packed, bytes, ranges, subjects: ranges.length / 2 / packed.steps.length / packed.heads };
}

/** The mean of one subject's maps of an unpacked group at the steps and heads wanted; null where it has none of them. */
function meanOfGroup(group, subject, isWanted, isHead = () => true) {
  const { h, w, bytes, ranges, subjects, heads } = group;
  const chosen = Array.from({ length: heads }, (_, head) => head).filter(isHead);
  const steps = group.steps.map((step, k) => (isWanted(step) ? k * subjects + subject : -1)).filter((at) => at >= 0);
  const places = steps.flatMap((at) => chosen.map((head) => at * heads + head));
  if (!places.length) return null;
  const values = new Float32Array(h * w);
  for (const at of places) {
    const [lo, hi] = [ranges[2 * at], ranges[2 * at + 1]];
    const scale = (hi - lo) / 255;
    for (let i = 0; i < h * w; i += 1) values[i] += (lo + bytes[at * h * w + i] * scale) / places.length;
  }
  return { h, w, values };
}

/** Where a row or column of n pixels reads m pixels: [lower, upper, weight of the upper], as bilinear scaling does. */
function samplesOf(n, m) {
  return Array.from({ length: n }, (_, i) => {
    const at = clamp(((i + 0.5) * m) / n - 0.5, 0, m - 1);
    const low = Math.floor(at);
    return [low, Math.min(m - 1, low + 1), at - low];
  });
}

/** Bilinear, to another size. */
function resized(map, h, w) {
  if (map.h === h && map.w === w) return map;
  const values = new Float32Array(h * w);
  const columns = samplesOf(w, map.w);
  samplesOf(h, map.h).forEach(([top, bottom, down], y) => {
    columns.forEach(([left, right, across], x) => {
      const upper = map.values[top * map.w + left] * (1 - across) + map.values[top * map.w + right] * across;
      const lower = map.values[bottom * map.w + left] * (1 - across) + map.values[bottom * map.w + right] * across;
      values[y * w + x] = upper * (1 - down) + lower * down;
    });
  });
  return { h, w, values };
}

/** The mean of maps [{map, weight}], each brought to the size of the finest; null where there is none. */
function weightedMean(parts) {
  if (!parts.length) return null;
  const { h, w } = parts.map(({ map }) => map).reduce((a, b) => (b.h * b.w > a.h * a.w ? b : a));
  const total = parts.reduce((sum, { weight }) => sum + weight, 0);
  const values = new Float32Array(h * w);
  for (const { map, weight } of parts) {
    resized(map, h, w).values.forEach((value, i) => (values[i] += (value * weight) / total));
  }
  return { h, w, values };
}

/** From the lowest value to the 99th percentile, as the command line's overlays; `flat`: the map points nowhere. */
function rangeOf(map) {
  const sorted = Float32Array.from(map.values).sort();
  const [lo, hi] = [sorted[0], sorted[Math.floor(0.99 * (sorted.length - 1))]];
  return { lo, hi, flat: hi - lo <= 0.02 * Math.abs(hi) };
}

/** The map scaled to 0 .. 1 within its range; a flat map is 0. */
function scaledMap(map) {
  const { lo, hi, flat } = rangeOf(map);
  const values = map.values.map((value) => (flat ? 0 : clamp((value - lo) / (hi - lo))));
  return { h: map.h, w: map.w, values };
}

/** The map's value at a point given in fractions of the picture's width and height. */
function valueAt(map, x, y) {
  const column = clamp(Math.floor(x * map.w), 0, map.w - 1);
  const row = clamp(Math.floor(y * map.h), 0, map.h - 1);
  return map.values[row * map.w + column];
}

function rgbOf(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}
