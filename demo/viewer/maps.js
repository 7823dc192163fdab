// What is looked at, and which maps belong to it. Runs in the browser alone.
//
// Gradio gives `element`, `props`, `trigger` and `watch`. The server sets two properties:
//   props.value  {run, pictures: [shot]}    finished pictures of the run; with `opened`: one from the Compare tab
//   props.live   shot with its `run` and a `progress` {picture, pictures, step, steps, left, done}, or null when
//                nothing runs; as long as it waits without `image` and with a `progress` {waiting: key, done}
// A shot is {image, caption, sentence: [{text, subject}], subjects: [{name, colour}], maps}, where `subject` and all
// lists count the shot's subjects; maps is {steps, streams: {kind: [packed group]}}, see heatmap.js;
// of the kind "words" the prompt's other words stand in the place of the subjects: a sentence's `word`.
// A finished one has also {name, file, facts, strip: {image, w, h}, bindings: {kind: {...}}, python, shell}, and
// `labels` where it comes from a comparison. `caption`, `facts` and what advice says are phrases, see i18n.js.

const PREFERRED = ["image", "influence", "text"]; // the clearest first
const ALL = null; // of steps or sizes: their mean

const LIVE = null; // in place of a picture's name: the one that is being made

// `chosen` is the name of the picture that is looked at, or LIVE; `following`: nobody chose it, so that it is the run's
// newest. Its last picture and the end of `live` come in any order.
// `kind` is null as long as nobody chose one; `step` counts from 1, 0 stands for all steps.
const view = { run: null, shelf: [], chosen: "", following: false, hidden: new Set(), solo: null, kind: null, step: 0, size: "", head: "", word: null, peek: false };
// `size` is that of layers, or one layer's path; `head` counts from 0 as text, "" stands for all; `word` is one of the
// prompt that no subject owns, whose map is looked at instead of the subjects'.
const WORD_COLOUR = "#2dd4bf";

const isLive = () => Boolean(props.live) && view.chosen === LIVE;
const shot = () => (isLive() ? props.live : view.shelf.find(({ name }) => name === view.chosen)) || null;
const sizeName = ({ h, w }) => `${w} × ${h}`;

const unpacked = new WeakMap(); // packed maps -> {groups, maps}, as long as a picture is on the shelf

function unpackedOf(packed) {
  if (!unpacked.has(packed)) {
    const streams = Object.entries(packed.streams).map(([kind, groups]) => [kind, groups.map(unpackGroup)]);
    unpacked.set(packed, { groups: Object.fromEntries(streams), maps: new Map() });
  }
  return unpacked.get(packed);
}

/** The groups of one kind of map, one per size of layer; none where the kind was not recorded. */
const groupsOf = (shown, kind) => unpackedOf(shown.maps).groups[kind] ?? [];

/** One subject's map of a kind at a step counted from 0, of layers of one size or of one layer, and of one head; each may
 *  be ALL; null if missing. */
function mapAt(shown, subject, kind, step, size, head = ALL) {
  const { maps } = unpackedOf(shown.maps);
  const key = [subject, kind, step, size, head].join();
  if (!maps.has(key)) {
    const groups = groupsOf(shown, kind).filter((group) => [ALL, sizeName(group), group.layer].includes(size));
    const parts = groups.map((group) => ({
      map: meanOfGroup(group, subject, (at) => step === ALL || at === step, (at) => head === ALL || at === head),
      weight: group.layers,
    }));
    maps.set(key, weightedMean(parts.filter(({ map }) => map)));
  }
  return maps.get(key);
}

const isFlat = (map) => !map || rangeOf(map).flat;

/** The kind that is shown: the chosen one, else the clearest one whose maps point somewhere for every subject. */
function kindOf(shown) {
  if (view.kind) return view.kind;
  const clear = (kind) => shown.subjects.every((_, i) => !isFlat(mapAt(shown, i, kind, ALL, ALL)));
  return PREFERRED.find(clear) ?? PREFERRED[0];
}

/** The kind whose groups are looked at: of the subjects, or of a word. */
const lookedAt = (shown) => (wordOf(shown) ? "words" : kindOf(shown));

/** The size of layers or the layer that is shown: the chosen one where the picture has it. */
function sizeOf(shown) {
  const known = groupsOf(shown, lookedAt(shown)).some((group) => [sizeName(group), group.layer].includes(view.size));
  return view.size && known ? view.size : ALL;
}

/** The chosen head of the chosen layer; ALL where no layer is chosen. */
function headOf(shown) {
  const layer = groupsOf(shown, lookedAt(shown)).find((group) => group.layer && group.layer === view.size);
  return layer && view.head !== "" && Number(view.head) < layer.heads ? Number(view.head) : ALL;
}

/** The chosen word of the prompt that no subject owns: {text, word}; undefined where none is chosen. */
const wordOf = (shown) => shown.sentence.find(({ word }) => word !== undefined && word === view.word);

/** The chosen map of one subject. */
function mapOf(shown, subject) {
  const step = view.step && !isLive() ? view.step - 1 : ALL;
  return mapAt(shown, subject, lookedAt(shown), step, sizeOf(shown), headOf(shown));
}

function visibleLayers(shown) {
  const word = wordOf(shown);
  if (word) {
    const map = mapOf(shown, word.word);
    return map ? [{ name: word.text, colour: WORD_COLOUR, subject: word.word, map }] : [];
  }
  return shown.subjects
    .map(({ name, colour }, i) => ({ name, colour, subject: i }))
    .filter(({ subject }) => (view.solo === null ? !view.hidden.has(subject) : view.solo === subject))
    .map((layer) => ({ ...layer, map: mapOf(shown, layer.subject) }))
    .filter(({ map }) => map);
}
