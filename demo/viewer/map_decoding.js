// Maps as the server packs them, see map_encoding.py: {steps, kinds: {kind: [group]}}. A group holds the maps of one layer
// with its H heads, or averages over layers and heads (layer "", heads 1), at K steps for S subjects:
// {h, w, layer, layers, heads, steps, data, ranges}; data is K*S*H*h*w bytes in base64, ranges K*S*H pairs of float32:
// what bytes 0 and 255 of a map stand for.

const ALL = null; // in place of a step, a size or a head: their mean

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

/** A group with `bytes`, `ranges` as Float32Array and the number of `subjects`. */
function unpackGroup(packed) {
  const bytes = bytesOf(packed.data);
  const ranges = new Float32Array(bytesOf(packed.ranges).buffer);
  return { ...packed, bytes, ranges, subjects: ranges.length / 2 / packed.steps.length / packed.heads };
}

/** The mean of a subject's maps of an unpacked group over the wanted steps and heads; null where it has none of them. */
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

const sizeName = ({ h, w }) => `${w} × ${h}`;

const unpacked = new WeakMap(); // packed maps -> {groups by kind, maps by what was wanted}

function unpackedOf(packed) {
  if (!unpacked.has(packed)) {
    const kinds = Object.entries(packed.kinds).map(([kind, groups]) => [kind, groups.map(unpackGroup)]);
    unpacked.set(packed, { groups: Object.fromEntries(kinds), maps: new Map() });
  }
  return unpacked.get(packed);
}

/** The groups of a kind of map; none where the kind was not recorded. */
const groupsOf = (packed, kind) => unpackedOf(packed).groups[kind] ?? [];

/** A subject's map of a kind, of a step counted from 0, of a size or one layer, and of a head; null where there is none. */
function mapOf(packed, kind, subject, { step = ALL, size = ALL, head = ALL } = {}) {
  const { maps } = unpackedOf(packed);
  const key = [kind, subject, step, size, head].join();
  if (!maps.has(key)) {
    const groups = groupsOf(packed, kind).filter((group) => [ALL, sizeName(group), group.layer].includes(size));
    const parts = groups.map((group) => ({
      map: meanOfGroup(group, subject, (at) => step === ALL || at === step, (at) => head === ALL || at === head),
      weight: group.layers,
    }));
    maps.set(key, weightedMean(parts.filter(({ map }) => map)));
  }
  return maps.get(key);
}
