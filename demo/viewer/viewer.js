// The result: pictures, their heatmaps, and the progress of the one in the making.

const MAX_HISTORY = 16;
const MOVED_SIDE = 384; // pixels of a heatmap that answers a slider; it is drawn as finely as others once the slider rests

// ------------------------------------------------------------------ drawing

function drawOverlay() {
  const frame = frameNow();
  if (!frame?.image) return; // before the first step
  const [canvas, picture] = [find(".overlay"), find(".picture")];
  if (!picture.complete) return; // it is drawn once it is loaded
  const layers = visibleLayers(frame);
  fitCanvas(canvas, picture, isMoved() ? MOVED_SIDE : MAX_SIDE);
  paintOverlay(canvas, picture, view.peek ? [] : layers, styleNow());
  drawScales(frame, layers, styleNow());
  drawTiles(frame);
  drawReadout(frame, layers);
}

/** Draw everything that depends on the step, the kind of map and its style. */
function drawMaps() {
  const frame = frameNow();
  if (!frame?.image) return;
  drawControls(frame);
  if (!isMoved()) drawTimeline(frame);
  if (!isMoved()) drawLeakage(frame);
  drawOverlay();
}

function drawThumbs() {
  const entries = view.history.map((entry) => [entry.name, sourceOf(entry.image), phraseText(entry.caption)]);
  if (view.live?.image) entries.unshift([LIVE, sourceOf(view.live.image), liveCaption()]);
  const box = find(".thumbs");
  const before = new Map([...box.children].map((thumb) => [thumb.dataset.frame, thumb]));
  const thumbs = entries.map(([name, source, caption]) => {
    const thumb = before.get(name ?? "") ?? emptyThumb(name ?? "");
    const image = thumb.querySelector("img");
    if (image.getAttribute("src") !== source) image.src = source;
    image.alt = thumb.title = caption;
    thumb.setAttribute("aria-pressed", String(name === view.chosen));
    return thumb;
  });
  setThumbs(box, thumbs.length > 1 ? thumbs : []);
}

function liveCaption() {
  if (isAnswer(view.live)) return phraseText(view.live.caption);
  return t(view.live.stopped ? "unfinished" : "in_the_making");
}

function emptyThumb(name) {
  const thumb = make("button", { type: "button", class: "thumb", "data-frame": name });
  thumb.append(make("img", {}));
  return thumb;
}

/** Replace thumbs only where they change: one that is being clicked would miss the click. */
function setThumbs(box, thumbs) {
  if (thumbs.length === box.children.length && thumbs.every((thumb, i) => thumb === box.children[i])) return;
  const focused = box.contains(document.activeElement) ? document.activeElement : null;
  box.replaceChildren(...thumbs);
  focused?.focus();
}

/** The step, and the picture where there are several. */
const placeText = ({ picture, pictures, step, steps }) =>
  t(pictures > 1 ? "picture_progress" : "step_progress", { n: picture, m: pictures, step, steps });

/** Before the first step the text of a key; then the step and the time that is left. */
function progressText(progress) {
  if (progress.waiting) return t(progress.waiting);
  return `${placeText(progress)} · ${t("time_left", { time: progress.left })}`;
}

/** Say on a picture that was stopped what it is. */
function drawUnfinished() {
  const stopped = isLive() && view.live.stopped;
  find(".badge").hidden = !stopped;
  if (stopped) find(".badge").textContent = `${t("unfinished")} · ${placeText(view.live.progress)}`;
}

function drawProgress() {
  const said = props.notice ? phraseText(props.notice) : "";
  if (find(".notice").textContent !== said) find(".notice").textContent = said;
  const progress = view.live?.stopped ? null : view.live?.progress;
  find(".viewer").classList.toggle("finished", Boolean(frameNow()?.image) && (!isLive() || isMoved()));
  find(".progress").hidden = !progress;
  if (!progress) return;
  find(".step-line").textContent = progressText(progress);
  find(".track").setAttribute("aria-valuenow", String(Math.round(100 * progress.done)));
  find(".track").classList.toggle("waiting", !view.live.image);
  find(".track span").style.width = `${100 * progress.done}%`;
}

function drawStage(frame, mapped) {
  const caption = phraseText(frame.caption);
  find(".stage").classList.toggle("single", !mapped || find(".layouts input:checked").value === "on-top");
  for (const [picture, alt] of [[find(".bare"), caption], [find(".picture"), mapped ? "" : caption]]) {
    if (picture.getAttribute("src") !== sourceOf(frame.image)) picture.src = sourceOf(frame.image);
    picture.alt = alt;
    picture.classList.toggle("rough", isLive() && !isMoved());
  }
  if (find(".stage").matches(".single")) find(".picture").alt = caption;
}

const asked = new Set(); // names of pictures whose maps were asked for

/** Ask for the maps of a picture of an earlier visit, which come when it is looked at. */
function fetchMaps(frame) {
  if (!frame.pending || asked.has(frame.name)) return;
  asked.add(frame.name);
  trigger("fetch", { name: frame.name });
}

/** The newest picture fades where the fields are no longer those that it was made with. */
function drawMatch() {
  const [frame, form] = [frameNow(), document.documentElement.dataset.form];
  const newest = frame && frame === view.history[0] && !view.live && !frame.labels;
  find(".viewer").classList.toggle("stale", Boolean(newest && frame.form && form && frame.form !== form));
}

let drawn = null; // the frame that is shown

function draw() {
  const frame = (drawn = frameNow());
  find(".viewer").dataset.state = frame?.image ? "shown" : view.live ? "waiting" : "empty";
  find(".viewer").classList.toggle("sample", Boolean(frame?.example));
  drawMatch();
  drawProgress();
  drawThumbs();
  find(".inspect").hidden = !frame?.image;
  if (!frame?.image) return;
  fetchMaps(frame);
  const mapped = (frame.subjects.length > 0 || Boolean(frame.tokens)) && frame.maps.steps > 0;
  find(".viewer").classList.toggle("inspected", Boolean(frame.tokens));
  find(".palettes span").textContent = t(frame.tokens ? "one_colour" : "subjects");
  drawStage(frame, mapped);
  drawSentence(frame);
  drawSubjects(frame);
  for (const part of findAll(".mapped")) part.hidden = !mapped;
  find(".word-help").hidden = !mapped || !find(".other-word");
  find(".early").hidden = true;
  drawUnfinished();
  for (const part of findAll(".button-row, .timeline, .leakage")) part.inert = isMoved(); // of the last one that was kept
  find(".reuse").hidden = isLive(); // it is for finished pictures
  if (!isMoved()) drawExport(frame);
  if (mapped) drawMaps();
  else drawOverlay();
}

// ------------------------------------------------------------------ news from the server

function follow(run) {
  stopPlaying();
  Object.assign(view, { followed: run, chosen: LIVE, following: true, step: 0, hidden: new Set(), word: null });
}

/** Show an answer of *Live*, whatever picture was looked at; what was chosen about subjects and words stays. */
function followMoves() {
  stopPlaying();
  Object.assign(view, { chosen: LIVE, following: true, step: 0 });
}

let told = null; // the answer of *Live* that was told last

/** Tell the switch when the picture of a move is on the screen. */
function tellPainted() {
  if (!isMoved() || told === view.live || !find(".picture").complete) return;
  told = view.live;
  const { run, move } = view.live;
  const tell = () => document.dispatchEvent(new CustomEvent("mmdiff-painted", { detail: { run, move } }));
  requestAnimationFrame(() => setTimeout(tell)); // the frame is painted between the two
}

function receive() {
  const value = props.value;
  const before = view.history.length;
  view.kept = Math.max(view.kept, value?.kept ?? 0);
  const answered = view.live;
  view.live = newestLive(props.live, answered, view.kept);
  if (value && value.run !== view.run) {
    const known = value.pictures.map(({ name }) => name);
    Object.assign(view, { run: value.run, older: view.history.filter(({ name }) => !known.includes(name)) });
    if (value.opened) choose(known[0]); // on the Compare tab, or from a file
    else if (isUnseenRun(value, view.followed)) follow(value.run);
  }
  view.history = [...(value?.pictures ?? []), ...(view.older ?? [])].slice(0, MAX_HISTORY).map((frame) => view.fetched.get(frame.name) ?? frame);
  if (isAnswer(view.live) && view.live !== answered) followMoves();
  if (!isAnswer(view.live) && view.live?.image && view.live.run !== view.followed) follow(view.live.run);
  const gone = view.chosen !== LIVE && !view.history.some(({ name }) => name === view.chosen);
  if (gone) view.chosen = view.history[0]?.name ?? "";
  if (!view.live && view.following) {
    view.chosen = (value?.pictures?.at(-1) ?? view.history[0])?.name ?? "";
    if (view.history.length > before) find(".announce").textContent = t("view_ready");
  }
  if (!drawn || drawn !== frameNow() || (isLive() && !isMoved())) {
    draw();
    return tellPainted();
  }
  drawMatch();
  drawProgress(); // a finished picture is looked at meanwhile, and may be clicked
  drawThumbs();
}

const isStep = (live) => Boolean(live?.image) && !live.stopped && !isAnswer(live) && live.run === view.followed;
const stepNews = paced(receive);

/** Take in the news; of the steps of a run those that come faster than they can be drawn are left out. */
function receiveNews() {
  if (isStep(props.live)) return stepNews.soon();
  stepNews.cancel();
  receive();
}

// ------------------------------------------------------------------ what the person does

function choose(name) {
  stopPlaying();
  Object.assign(view, { chosen: name, following: name === LIVE, solo: null, word: null });
}

// Selector of a button -> what it does; the first four change what is drawn.
const ACTIONS = [
  ["[data-frame]", (button) => choose(button.dataset.frame || LIVE)],
  [".chip[data-subject]", (button) => toggleSubject(Number(button.dataset.subject))],
  [".chip.all", toggleAll],
  [".other-word", (button) => (view.word = view.word === Number(button.dataset.word) ? null : Number(button.dataset.word))],
  [".tile", chooseTile],
  [".strip-cell", (button) => (stopPlaying(), goTo(Number(button.dataset.step)))],
  [".play", togglePlaying],
  [".apply", applyAdvice],
  [".save-overlay", saveOverlay],
  [".pack", (button) => order(button, "pack", {})],
  [".animate", (button) => order(button, "animate", { format: button.dataset.format })],
  [".write", (button) => order(button, "write", { suffix: button.dataset.suffix })],
  [".copy", copyCode],
  [".copy-link", copyLink],
  [".use-settings", () => trigger("reuse", { name: frameNow().name })],
  [".start-from", () => trigger("begin", { name: frameNow().name })],
  [".use-photo", () => trigger("photo", { name: frameNow().name })],
];

element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  const place = ACTIONS.findIndex(([selector]) => button?.matches(selector));
  if (place < 0) return;
  ACTIONS[place][1](button);
  if (place > 3) return;
  const again = [".chip.all", `.chip[data-subject="${button.dataset.subject}"]`, `.thumb[data-frame="${button.dataset.frame}"]`, `.other-word[data-word="${button.dataset.word}"]`];
  draw();
  find(again.find((selector) => button.matches(selector)) ?? "none")?.focus();
});

find(".picture").addEventListener("load", () => {
  drawOverlay();
  tellPainted();
  if (frameNow()?.name) drawFactors();
});
new ResizeObserver(() => {
  drawOverlay();
  // What is scrolled to below must not end up behind the stage, which stays in sight.
  find(".viewer").style.setProperty("--stage-height", `${find(".stage").offsetHeight}px`);
}).observe(find(".heatmap-box"));
watch(["value", "live"], receiveNews);
watch("notice", drawProgress);
document.addEventListener("mmdiff-form", drawMatch);
watch("fetched", () => {
  if (!props.fetched) return;
  view.fetched.set(props.fetched.name, props.fetched);
  receive();
});
fillTexts(receive);
