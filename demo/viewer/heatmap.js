// Arithmetic on maps of attention: pure functions. A map is {h, w, values}: a Float32Array of h*w attention weights, row
// by row.

/**
 * For every row or column of n pixels, where it reads m pixels: [lower, upper, weight of the upper]; bilinear. Beyond the
 * middle of the outermost pixel it reads that pixel; `straight`: it goes straight on, with weights below 0 or above 1.
 */
function samplesOf(n, m, straight) {
  return Array.from({ length: n }, (_, i) => {
    const place = ((i + 0.5) * m) / n - 0.5;
    const at = straight ? place : clamp(place, 0, m - 1);
    const low = clamp(Math.floor(at), 0, Math.max(0, m - 2));
    return [low, Math.min(m - 1, low + 1), at - low];
  });
}

/** The map in another size, bilinear; `straight`: see samplesOf. */
function resized(map, h, w, straight = false) {
  if (map.h === h && map.w === w) return map;
  const values = new Float32Array(h * w);
  const columns = samplesOf(w, map.w, straight);
  const [left, right] = [0, 1].map((part) => Int32Array.from(columns, (sample) => sample[part]));
  const across = Float64Array.from(columns, (sample) => sample[2]);
  samplesOf(h, map.h, straight).forEach(([top, bottom, down], y) => {
    const [first, second] = [map.values.subarray(top * map.w), map.values.subarray(bottom * map.w)];
    for (let x = 0; x < w; x += 1) {
      const upper = first[left[x]] * (1 - across[x]) + first[right[x]] * across[x];
      const lower = second[left[x]] * (1 - across[x]) + second[right[x]] * across[x];
      values[y * w + x] = upper * (1 - down) + lower * down;
    }
  });
  return { h, w, values };
}

/** The mean of maps [{map, weight}], each in the size of the finest; null where there is none. */
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

const FLAT_CONTRAST = 0.02; // of the highest value; maps with less point nowhere
const PERCENTILE = 0.99; // keeps one bright pixel from hiding the rest

// The next two are the rule of mmdiff_core/maps/heatmap.py, `normalise`; a test holds them to it.

/** From the lowest value to the 99th percentile, which lies between two values; `flat`: the map points nowhere. */
function rangeOf(map) {
  const sorted = Float32Array.from(map.values).sort();
  const at = PERCENTILE * (sorted.length - 1);
  const [below, above] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  const [lo, hi] = [sorted[0], below + (at - Math.floor(at)) * (above - below)];
  return { lo, hi, flat: hi - lo <= FLAT_CONTRAST * Math.abs(hi) };
}

/** The map scaled to 0 .. 1 over its range; a flat map is 0. */
function scaledMap(map) {
  const { lo, hi, flat } = rangeOf(map);
  return { h: map.h, w: map.w, values: map.values.map((value) => (flat ? 0 : clamp((value - lo) / (hi - lo)))) };
}

/** The map's value at a point in fractions of the picture's width and height. */
function valueAt(map, x, y) {
  const column = clamp(Math.floor(x * map.w), 0, map.w - 1);
  const row = clamp(Math.floor(y * map.h), 0, map.h - 1);
  return map.values[row * map.w + column];
}

const LEAST_SPREAD = 1e-8; // below it a share counts as the same all over

/** The sum of maps of one size; null where there is none. */
function summed(maps) {
  if (!maps.length || maps.includes(null)) return null;
  const [{ h, w }] = maps;
  const values = new Float32Array(h * w);
  for (const map of maps) map.values.forEach((value, i) => (values[i] += value));
  return { h, w, values };
}

// The rule of mmdiff_core/inspection/token_maps.py, `TokenMaps.at`; a test holds them to it.

/**
 * Shares as a scale has them; `words` is the sum of all words of the prompt, of which there are `count`, and `own` the sum
 * of those that are in the share; null for none.
 */
function inScale(scale, share, words, count, own) {
  const { h, w } = share;
  const changed = (change) => ({ h, w, values: share.values.map(change) });
  const at = (map, i) => map?.values[i] ?? 0;
  if (scale === "among_words") return changed((value, i) => value / Math.max(at(words, i) + value - at(own, i), LEAST_SPREAD));
  if (scale === "contrast") return changed((value, i) => value - at(words, i) / Math.max(count, 1));
  if (scale !== "z") return share;
  const mean = share.values.reduce((sum, value) => sum + value, 0) / share.values.length;
  const spread = Math.sqrt(share.values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / share.values.length);
  return changed((value) => (spread > LEAST_SPREAD ? (value - mean) / spread : 0));
}
