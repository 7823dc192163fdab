// The switch *Live*: a slider that moves is answered by a picture. Gradio gives `element`, `props`, `trigger` and `watch`.
//
// props.value is {possible, offered, unguided}; props.answer what became of a move, {run, move, state, text}, see live_session.py. The
// picture itself comes to the viewer, which tells by "mmdiff-painted" when it is on the screen.

const [QUIET_MS, EAGER_MS] = [25, 120]; // a slider that rests for so long is answered; at the latest, if nothing runs
const ECHO_MS = 1000; // Gradio's word of a change comes later than the browser's own
const [REST_MS, RETRY_MS, LOOK_MS] = [1000, 1500, 20_000];
const TARGET_MS = 500; // a machine that needs longer is said to
const PACED = 5; // pictures whose median is said
const run = `${Date.now()}-${Math.random()}`; // of this page's moves

const live = {
  move: 0, // the number of the newest move that was sent
  since: null, // the time of the first change that was not sent, and of the last one
  changed: null,
  touched: -ECHO_MS, // the time of the last change by hand
  waiting: false, // for the answer
  unkept: false, // the picture that is shown is not in the history
  times: new Map(), // of the changes behind the moves that were sent
  paces: [], // milliseconds
  painted: false, // a picture, since it was turned on
};
const timers = { send: 0, rest: 0, retry: 0 };

const FIELDS = ["[id^=strength-]", "#start-step", "#bound", "#guidance", "#guidance-rescale", "#clip-skip", "#seed", "#parts"];
const ANSWERED = [...FIELDS, "#balance-photos", "#image-strength"].map((field) => `${field} input`).join();

const GUIDANCE = "#guidance input, #guidance-rescale input"; // which change nothing where Live runs without guidance

const knob = find(".live-on");
const isOn = () => knob.checked && isVisible(knob);
const isRunning = () => isVisible(document.querySelector("#stop"));

function say(text) {
  if (find(".live-state").textContent !== text) find(".live-state").textContent = text;
  find(".live-help").hidden = Boolean(text) || knob.checked;
}

// ------------------------------------------------------------------ moves

function changed() {
  if (!isOn() || isRunning()) return;
  live.changed = performance.now();
  live.since ??= live.changed;
  clearTimeout(timers.rest);
  clearTimeout(timers.retry);
  sendSoon();
}

/** Wait until the slider stands still for a moment; while nothing runs, not for long. */
function sendSoon() {
  clearTimeout(timers.send);
  const left = live.since + EAGER_MS - performance.now();
  timers.send = setTimeout(send, live.waiting ? QUIET_MS : Math.max(0, Math.min(QUIET_MS, left)));
}

function send() {
  if (!isOn() || isRunning()) return void (live.since = null);
  live.move += 1;
  live.times.set(live.move, live.changed);
  Object.assign(live, { since: null, waiting: true });
  trigger("move", { run, move: live.move });
}

/** Ask again, but not on a page that nobody looks at. */
function retry() {
  if (!document.hidden) return send();
  timers.retry = setTimeout(retry, RETRY_MS);
}

function saidOf({ state, text }) {
  if (state === "busy") return t("live_busy");
  if (state === "invalid") return t("live_invalid", { text: sentenceText(text) });
  return state === "failed" ? sentenceText(text) : "";
}

function receiveAnswer() {
  const answer = props.answer;
  if (answer?.run !== run || answer.move !== live.move) return;
  live.waiting = false;
  if (!isOn()) return;
  say(saidOf(answer));
  if (answer.state === "shown") Object.assign(live, { unkept: true });
  if (answer.state === "busy") timers.retry = setTimeout(retry, RETRY_MS);
  if (live.unkept && live.since === null) timers.rest = setTimeout(keep, REST_MS);
}

/** Put the picture into the history once the slider rests. */
function keep() {
  clearTimeout(timers.rest);
  if (!live.unkept) return;
  live.unkept = false;
  trigger("keep", { on: isOn() });
}

// ------------------------------------------------------------------ how long it takes

function notePace({ detail }) {
  live.painted = true;
  drawView();
  if (detail.run !== run || !live.times.has(detail.move)) return;
  live.paces = [...live.paces, performance.now() - live.times.get(detail.move)].slice(-PACED);
  for (const move of [...live.times.keys()]) if (move <= detail.move) live.times.delete(move);
  const pace = live.paces.toSorted((a, b) => a - b)[Math.floor(live.paces.length / 2)];
  find(".live-pace").hidden = pace <= TARGET_MS || live.paces.length < 2; // the first one encodes photos and prompt
  const seconds = new Intl.NumberFormat(t("locale"), { maximumFractionDigits: 1 }).format(pace / 1000);
  find(".live-pace").textContent = t("live_pace", { n: seconds });
}

// ------------------------------------------------------------------ where the result is out of sight

const VIEW = { side: 224, gap: 8 }; // pixels

function isInSight(stage) {
  const { top, bottom, height } = stage.getBoundingClientRect();
  return Math.min(bottom, window.innerHeight) - Math.max(top, 0) > height / 2;
}

/** Show picture and heatmap beside the switch while the result is out of sight, as on a phone. */
function drawView() {
  const [stage, picture, overlay] = ["", " .picture", " .overlay"].map((part) => document.querySelector(`#result .stage${part}`));
  const box = find(".live-view");
  box.hidden = !isOn() || !live.painted || isInSight(stage);
  if (box.hidden) return;
  const canvas = box.firstElementChild;
  const width = Math.round((VIEW.side * picture.naturalWidth) / picture.naturalHeight);
  Object.assign(canvas, { width: 2 * width + VIEW.gap, height: VIEW.side });
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0, width, VIEW.side);
  context.drawImage(overlay, width + VIEW.gap, 0, width, VIEW.side);
}

// ------------------------------------------------------------------ the switch

function turn() {
  for (const timer of Object.values(timers)) clearTimeout(timer);
  Object.assign(live, { since: null, waiting: false, paces: [], painted: false });
  drawView();
  find(".live-pace").hidden = true;
  say(knob.checked ? t("live_on") : t("live_off"));
  if (knob.checked) return changed();
  live.unkept = false;
  trigger("keep", { on: false }); // what runs ends, too
}

/** The switch is offered unless the host lends its GPU, or others wait for the model. */
function offer() {
  find(".live-switch").hidden = !props.value.offered && !knob.checked;
  if (props.value.possible && !props.value.offered) setTimeout(() => trigger("look", {}), LOOK_MS);
}

knob.addEventListener("change", turn);
document.addEventListener("input", ({ target }) => {
  if (!target.matches(ANSWERED)) return;
  live.touched = performance.now();
  if (!props.value.unguided || !target.matches(GUIDANCE)) return changed();
  if (isOn()) say(t("live_guidance"));
});
// A change that a button, an undo or a link made; live_switch.py names the same fields.
document.addEventListener("mmdiff-moved", () => performance.now() - live.touched > ECHO_MS && changed());
document.addEventListener("mmdiff-painted", notePace);
document.addEventListener("scroll", () => live.painted && drawView(), { passive: true, capture: true });
document.addEventListener("click", (event) => event.target.closest?.("#generate, #compare-run") && keep(), true);
watch("answer", receiveAnswer);
watch("value", offer);
fillTexts(offer);
