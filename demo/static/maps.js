// What is looked at, and which maps belong to it. Runs in the browser alone.
//
// Gradio gives `element`, `props`, `trigger` and `watch`. The server sets two properties:
//   props.value  {run, pictures: [shot]}    finished pictures of the run; with `opened`: one from the Compare tab
//   props.live   shot with its `run` and a `progress` {text, done}, or null when nothing runs; without `image` as
//                long as it waits
// A shot is {image, caption, sentence: [{text, subject}], subjects: [{name, colour}], maps}, where `subject` and all
// lists count the shot's subjects; maps is {steps, streams: {kind: [packed group]}}, see heatmap.js.
// A finished one has also {name, file, facts, strip: {image, w, h}, bindings: {kind: {...}}, python, shell}.

const KINDS = {
  text: "Where the model reads the subject's word in the prompt.",
  image: "Where the model looks at the subject's photos.",
  influence: "How much of what each spot becomes is owed to the subject's photos.",
};
const PREFERRED = ["image", "influence", "text"]; // the clearest first
const ALL = null; // of steps or sizes: their mean

const find = (selector) => element.querySelector(selector);
// `kind` is null as long as nobody chose one; `step` counts from 1, 0 stands for all steps.
const view = { run: null, shelf: [], chosen: 0, hidden: new Set(), solo: null, kind: null, step: 0, size: "", peek: false };

const isLive = () => Boolean(props.live) && view.chosen === -1;
const shot = () => (isLive() ? props.live : view.shelf[view.chosen]) || null;
const sourceOf = (image) => (typeof image === "string" ? image : image.url);
const sizeName = ({ h, w }) => `${w} × ${h}`;

function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

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

/** One subject's map of a kind at a step counted from 0, or ALL; of the layers of one size, or ALL; null if missing. */
function mapAt(shown, subject, kind, step, size) {
  const { maps } = unpackedOf(shown.maps);
  const key = [subject, kind, step, size].join();
  if (!maps.has(key)) {
    const groups = groupsOf(shown, kind).filter((group) => size === ALL || sizeName(group) === size);
    const parts = groups.map((group) => ({
      map: meanOfGroup(group, subject, (at) => step === ALL || at === step),
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

/** The size of layers that is shown: the chosen one where the picture has it. */
function sizeOf(shown) {
  return groupsOf(shown, kindOf(shown)).some((group) => sizeName(group) === view.size) ? view.size : ALL;
}

/** The chosen map of one subject. */
function mapOf(shown, subject) {
  const step = view.step && !isLive() ? view.step - 1 : ALL;
  return mapAt(shown, subject, kindOf(shown), step, sizeOf(shown));
}

function visibleLayers(shown) {
  return shown.subjects
    .map(({ name, colour }, i) => ({ name, colour, subject: i }))
    .filter(({ subject }) => (view.solo === null ? !view.hidden.has(subject) : view.solo === subject))
    .map((layer) => ({ ...layer, map: mapOf(shown, layer.subject) }))
    .filter(({ map }) => map);
}
