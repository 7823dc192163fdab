// A blind pair and three questions. Gradio gives `element`, `props`, `trigger` and `watch`; the server sets
//   props.value  {compared, pair, pictures: [left, right], sentence: [{text, subject}], subjects: [{name, colour,
//                photos}], left, answered: [{picture, labels}], votes, tally}
// where `pair` names the pair that is asked about, null where there is none; see ballot.py.

const QUESTIONS = ["subject", "text", "better"];
const SIDES = ["left", "neither", "right"];

function question(name) {
  const options = SIDES.map((side) =>
    make("label", {}, make("input", { type: "radio", name: `vote-${name}`, value: side }), make("span", {}, t(side))),
  );
  const group = make("div", { class: "segments", role: "radiogroup", "aria-labelledby": `vote-q-${name}` }, ...options);
  return make("div", { class: "control" }, make("span", { class: "control-name", id: `vote-q-${name}` }, t(`vote_${name}`)), group);
}

function answers() {
  const chosen = QUESTIONS.map((name) => [name, find(`input[name="vote-${name}"]:checked`)?.value]);
  return Object.fromEntries(chosen.filter(([, side]) => side));
}

function drawWords({ sentence, subjects }) {
  const words = sentence.map(({ text, subject }) => {
    if (subject === null) return document.createTextNode(text);
    const mark = make("mark", {}, text);
    mark.style.setProperty("--subject", subjects[subject].colour);
    return mark;
  });
  find(".sentence").replaceChildren(...words);
}

function reference({ name, colour, photos }) {
  const images = photos.map((source, i) => make("img", { src: source, alt: `${name} ${i + 1}` }));
  const figure = make("figure", {}, ...images, make("figcaption", {}, name));
  figure.style.setProperty("--subject", colour);
  return figure;
}

/** Without an answer there is nothing to save, which is said beside the button. */
function allowSave() {
  const answered = Object.keys(answers()).length > 0;
  find(".vote-save").disabled = !answered;
  find("#vote-why").hidden = answered;
}

let asked = null;

function drawPair(value) {
  if (value.pair === asked) return; // keep answers that are already chosen
  asked = value.pair;
  drawWords(value);
  find(".references").replaceChildren(...value.subjects.map(reference));
  findAll(".ballot .pair img").forEach((image, i) => {
    image.src = value.pictures[i].url;
    image.alt = t(SIDES[2 * i]);
  });
  find(".questions").replaceChildren(...QUESTIONS.map(question));
  allowSave();
}

let told = null; // the names of the pictures of the pair that can be told

/** The pair that was voted on last, with its names, closed until somebody wants to know. */
function drawAnswered(answered) {
  const names = answered.map(({ picture }) => picture.url).join();
  find(".reveal").hidden = !answered.length;
  if (names === told) return;
  told = names;
  find(".reveal").open = false;
  const figures = answered.map(({ picture, labels }, i) => {
    const name = `${t(SIDES[2 * i])}: ${labelsText(labels)}`;
    return make("figure", {}, make("img", { src: picture.url, alt: name }), make("figcaption", {}, name));
  });
  find(".reveal .pair").replaceChildren(...figures);
}

function draw() {
  const { value } = props;
  find(".viewer").dataset.state = value?.pair ? "asking" : "empty";
  find(".welcome").hidden = !value || Boolean(value.pair);
  find(".ballot").hidden = !value?.pair;
  find(".results").hidden = !value;
  if (!value) return;
  find(".welcome-title").textContent = t(value.compared ? "vote_done" : "vote_none");
  find(".welcome-help").textContent = t(value.compared ? "vote_done_help" : "vote_none_help");
  drawAnswered(value.answered);
  find(".pairs-left").textContent = t("pairs_left", { n: value.left });
  find(".vote-skip").hidden = value.left < 2; // there is no other
  if (value.pair) drawPair(value);
  drawTally(value);
}

function sure(open) {
  find(".sure").hidden = !open;
  find(".vote-reset").hidden = open;
  find(open ? ".reset-no" : ".vote-reset").focus();
}

const ACTIONS = [
  [".vote-save", () => trigger("vote", { pair: asked, answers: answers() })],
  [".vote-skip", () => trigger("skip", {})],
  [".vote-export", () => trigger("export", {})],
  [".vote-reset", () => sure(true)],
  [".reset-no", () => sure(false)],
  [".reset-yes", () => (sure(false), trigger("reset", {}))],
];

element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  ACTIONS.find(([selector]) => button?.matches(selector))?.[1]();
});
element.addEventListener("input", allowSave);
element.addEventListener("submit", (event) => event.preventDefault());

let counted = null;
watch("value", () => {
  if (counted !== null && props.value.votes > counted) find(".announce").textContent = t("vote_saved");
  counted = props.value.votes;
  draw();
});
fillTexts(draw);
