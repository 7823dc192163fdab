// What is looked at, and which maps belong to it. Runs in the browser alone.
//
// Gradio gives `element`, `props`, `trigger` and `watch`. The server sets two properties, see frames.py:
//   props.value  {run, pictures: [frame]}    finished pictures of the run; with `opened`: one from the Compare tab or a
//                file; with `restored`: those of an earlier visit; with `kept`: the last one of *Live*
//   props.live   a frame with its `run` and a `progress` {picture, pictures, step, steps, left, done}; null when nothing
//                runs; before the first step without `image` and with a `progress` {waiting: key, done}; `stopped`: it
//                is what is left of a run that was stopped
//                with `move` instead of a `progress`: it answers a slider while *Live* is on
//   props.notice   a phrase about a run that was stopped, or null
//   props.fetched  a frame that was `pending`: its maps were left out until it was looked at
// A frame is {image, caption, sentence: [{text, subject}], subjects: [{name, colour}], maps}, where `subject` and all
// lists count the frame's subjects; of the maps' kind "words" the subjects are the prompt's other words, a sentence's
// `word`; with `tokens` they are those of an inspected prompt, see tokens.js. A finished one has also {name, file, facts, strip: {image, w, h}, leakage: {kind: {...}}, python, shell}, and
// `labels` where it comes from a comparison. `caption`, `facts` and what advice says are phrases, see i18n.js.

const PREFERRED_KINDS = ["image", "influence", "text"]; // the clearest first
const WORD_COLOUR = "#2dd4bf";
const LIVE = null; // in place of a picture's name: the one in the making

const view = {
  run: null,
  history: [], // frames of finished pictures, the newest first
  chosen: "", // the name of the picture that is looked at, or LIVE
  following: false, // nobody chose it: it is the run's newest; its last picture and the end of `live` come in any order
  hidden: new Set(), // subjects
  solo: null, // the only subject that is shown for now
  kind: null, // of map; null until somebody chooses one
  step: 0, // from 1; 0 stands for all
  size: "", // of layers, or the path of one layer; "" stands for all
  head: "", // from 0, as text; "" stands for all
  word: null, // of the prompt, owned by no subject, whose map is looked at instead of the subjects'; of an inspected prompt
  // the part that is looked at, null for the first that tells something
  scale: "share", // of the maps of an inspected prompt, see tokens.js
  fetched: new Map(), // frames whose maps came later, by their names
  peek: false, // the picture is shown without its maps
  pointer: null, // the point whose values are read, in fractions of the picture
  finger: false, // which points at it
  live: null, // props.live, unless it is an answer of *Live* that came late or whose picture was kept
  kept: 0, // the last move of *Live* whose picture was kept
};

const isAnswer = (live) => live?.move !== undefined;

/** What there is of a picture in the making: of the answers of *Live* the newest, whatever order they come in. */
function newestLive(live, before, kept) {
  if (!isAnswer(live)) return live ?? null;
  const newest = isAnswer(before) && before.run === live.run && before.move > live.move ? before : live;
  return newest.move > kept ? newest : null;
}

/** Whether a value brings a run of which no step was shown: it was over before. */
const isUnseenRun = (value, followed) => !value.opened && !value.restored && value.kept === undefined && value.run !== followed;

/** The finished example, until there is a picture of one's own. */
const exampleNow = () => (view.history.length || view.live?.image ? null : (props.example ?? null));

const isLive = () => Boolean(view.live) && view.chosen === LIVE;
const isMoved = () => isLive() && isAnswer(view.live);
const frameNow = () => (isLive() ? view.live : view.history.find(({ name }) => name === view.chosen)) || exampleNow();

const isFlat = (map) => !map || rangeOf(map).flat;

/** The kind that is shown: the chosen one, else the clearest one whose maps point somewhere for every subject. */
function kindOf(frame) {
  if (view.kind) return view.kind;
  const isClear = (kind) => frame.subjects.every((_, i) => !isFlat(mapOf(frame.maps, kind, i)));
  return PREFERRED_KINDS.find(isClear) ?? PREFERRED_KINDS[0];
}

/** The chosen word of the prompt that no subject owns, or the chosen part of an inspected one: {text, word}; undefined where
 * none is chosen. */
function wordOf(frame) {
  if (!frame.tokens) return frame.sentence.find(({ word }) => word !== undefined && word === view.word);
  const word = view.word !== null && frame.tokens.parts[view.word] ? view.word : frame.tokens.first;
  return { text: partName(frame.tokens.parts[word]), word };
}

/** The kind whose maps are shown: of the subjects, or of a word. */
const shownKind = (frame) => (wordOf(frame) ? "words" : kindOf(frame));

/** Whether what is shown is the image map of a single subject, which no null token takes its shares from. */
const isAloneWithoutNull = (frame) => frame.subjects.length === 1 && shownKind(frame) === "image";

/** Whether the influence is shown because the image map of the only subject is flat, and nobody chose it. */
function isInPlaceOfImage(frame) {
  if (view.kind || frame.subjects.length !== 1 || shownKind(frame) !== "influence") return false;
  const image = mapOf(frame.maps, "image", 0);
  return Boolean(image) && isFlat(image);
}

const shownGroups = (frame) => groupsOf(frame.maps, shownKind(frame));

/** The size of layers or the layer that is shown: the chosen one where the picture has it. */
function sizeOf(frame) {
  const known = shownGroups(frame).some((group) => [sizeName(group), group.layer].includes(view.size));
  return view.size && known ? view.size : ALL;
}

/** The chosen head of the chosen layer; ALL where no layer is chosen. */
function headOf(frame) {
  const layer = shownGroups(frame).find((group) => group.layer && group.layer === view.size);
  return layer && view.head !== "" && Number(view.head) < layer.heads ? Number(view.head) : ALL;
}

/** The map of a subject, or of a word, that is shown at a step counted from 0. */
function shownMap(frame, subject, step) {
  const at = { step, size: sizeOf(frame), head: headOf(frame) };
  return frame.tokens ? tokenMap(frame, subject, at) : mapOf(frame.maps, shownKind(frame), subject, at);
}

/** Whose maps there are to be shown: the subjects, or a word: [{name, colour, subject}]. */
function mappedSubjects(frame) {
  const word = wordOf(frame);
  if (word) return [{ name: word.text, colour: WORD_COLOUR, subject: word.word }];
  return frame.subjects.map(({ name, colour }, subject) => ({ name, colour, subject }));
}

/** What lies over the picture: [{name, colour, subject, map}]. */
function visibleLayers(frame) {
  const step = view.step && !isLive() ? view.step - 1 : ALL;
  const isShown = ({ subject }) => (view.solo === null ? !view.hidden.has(subject) : view.solo === subject);
  return mappedSubjects(frame)
    .filter((layer) => wordOf(frame) || isShown(layer))
    .map((layer) => ({ ...layer, map: shownMap(frame, layer.subject, step) }))
    .filter(({ map }) => map);
}
