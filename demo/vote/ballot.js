// A blind pair and three questions. Gradio gives `element`, `props`, `trigger` and `watch`; the server sets
//   props.value  {compared, pair, pictures: [left, right], sentence: [{text, subject}], subjects: [{name, colour,
//                photos}], left, votes, tally}
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

let asked = null;

function drawPair(value) {
  if (value.pair === asked) return; // keep answers that are already chosen
  asked = value.pair;
  drawWords(value);
  find(".references").replaceChildren(...value.subjects.map(reference));
  findAll(".pair img").forEach((image, i) => {
    image.src = value.pictures[i].url;
    image.alt = t(SIDES[2 * i]);
  });
  find(".questions").replaceChildren(...QUESTIONS.map(question));
  find(".vote-save").disabled = true;
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
  find(".pairs-left").textContent = t("pairs_left", { n: value.left });
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
element.addEventListener("input", () => (find(".vote-save").disabled = !Object.keys(answers()).length));
element.addEventListener("submit", (event) => event.preventDefault());

let counted = null;
watch("value", () => {
  if (counted !== null && props.value.votes > counted) find(".announce").textContent = t("vote_saved");
  counted = props.value.votes;
  draw();
});
fillTexts();
draw();
