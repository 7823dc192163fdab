// Errors beside their fields. Gradio gives `element`, `props`, `trigger` and `watch`.
//
// Fields that change one right after another (an example fills a dozen) are looked at once, as soon as they rest.
// props.value is {errors: [{place, text, severity}], attempt, form}: `place` is a field's id; `attempt` is a word that
// differs with every Generate in vain, and is empty while somebody types; `form` is a digest of the fields. Notes are put
// back where Gradio draws a field anew. What is lacking is only hinted at until Generate has asked for it.

const notes = new Map(); // place -> paragraph
const typed = new Map(); // place -> error of a number that no slider can take; the server never sees it
const blamed = new Set(); // places of errors that Generate has asked to be corrected
let lastAttempt = { attempt: "", form: null }; // what the last Generate in vain was told
let reminding = false;
const REST = 60; // milliseconds

const allErrors = () => [...typed.values(), ...serverErrors().filter(({ place }) => !typed.has(place))];

/** What was found in the same fields while they were typed may arrive after the answer to Generate, which says more. */
function serverErrors() {
  const { errors } = props.value.form === lastAttempt.form ? lastAttempt : props.value;
  return errors.map((error) => ({ ...error, text: sentenceText(error.text) }));
}

/** Where the note of a field stands: that of photos stands below what the model sees of them. */
function homeOf(place) {
  return place && document.getElementById(place.replace(/^photos-/, "seen-"));
}

function inputsOf(place) {
  return [...(document.getElementById(place)?.querySelectorAll("input, textarea") ?? [])];
}

function writeNote(place, errors) {
  const home = homeOf(place);
  if (!home) return;
  const note = notes.get(place) ?? document.createElement("p");
  notes.set(place, note);
  const text = errors.map((error) => error.text).join("\n"); // a line each, see fields.css
  const worst = ["wrong", "lacking", "note"].find((name) => errors.some((error) => error.severity === name));
  const severity = worst === "lacking" && !blamed.has(place) ? "hint" : worst;
  if (note.textContent !== text) note.textContent = text;
  if (note.className !== `field-error ${severity}`) note.className = `field-error ${severity}`;
  if (note.parentElement !== home) home.append(note);
  note.id = `error-${place}`;
  for (const input of inputsOf(place)) {
    if (["wrong", "lacking"].includes(severity)) input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", note.id);
  }
}

function eraseNote(place) {
  blamed.delete(place);
  notes.get(place)?.remove();
  notes.delete(place);
  for (const input of inputsOf(place)) {
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-describedby");
  }
}

function drawNotes() {
  const places = Map.groupBy(allErrors(), ({ place }) => place);
  for (const place of [...notes.keys()]) if (!places.has(place)) eraseNote(place);
  for (const [place, errors] of places) writeNote(place, errors);
}

let resting;
window.addEventListener("mmdiff-changed", () => {
  clearTimeout(resting);
  resting = setTimeout(() => trigger("settle"), REST);
});

// ------------------------------------------------------------------ the line above the button

/** Show the first error from a Generate in vain until there is none; `isNew`: Generate has just been in vain. */
function remind(isNew) {
  const first = allErrors().find((error) => error.severity !== "note");
  reminding = Boolean(first) && (reminding || isNew);
  const line = find(".first-error");
  line.hidden = !reminding;
  line.textContent = reminding ? titleOf(first.place) + first.text : "";
  if (reminding && isNew) leadTo(first.place);
}

/** Away from its field an error needs the field's name, where its sentence does not have it. */
function titleOf(place) {
  const card = /^(?:name|strength)-(\d)$/.exec(place);
  if (card) return `${t("subject")} ${card[1]}: `;
  const label = document.getElementById(place)?.querySelector("[data-testid=block-info]")?.textContent.trim();
  return typed.has(place) && label ? `${label}: ` : "";
}

function leadTo(place) {
  for (const accordion of document.querySelectorAll("#settings, #other-sizes")) {
    if (accordion.id === place || accordion.querySelector(`[id="${place}"]`)) openAccordion(accordion);
  }
  requestAnimationFrame(() => requestAnimationFrame(() => focusOn(place))); // when what was opened is drawn
}

function focusOn(place) {
  const home = document.getElementById(place);
  home?.scrollIntoView({ block: "center" });
  (home?.querySelector("input:not([type=file]), textarea") ?? home?.querySelector("button"))?.focus({ preventScroll: true });
}

function openAccordion(accordion) {
  const head = accordion.querySelector(".label-wrap");
  if (head && !head.classList.contains("open")) head.click();
}

// A seed that somebody typed is kept for the next pictures (settings_panel.py).
document.addEventListener("input", ({ target }) => {
  if (target.matches("#seed input")) target.dataset.typed = target.value;
}, true);

// ------------------------------------------------------------------ numbers that a slider cannot take

const sliderOf = (input) => input.matches?.("input[type=number]") && input.closest(".block")?.querySelector("input[type=range]");

function fits(value, { min, max }) {
  return value !== "" && Number(value) >= Number(min) && Number(value) <= Number(max);
}

function checkNumber(event) {
  const slider = sliderOf(event.target);
  const place = event.target.closest?.(".block[id]")?.id;
  if (!slider || !place || fits(event.target.value, slider)) return forgetCorrected();
  typed.set(place, { place, text: t("range", { min: slider.min, max: slider.max }), severity: "wrong" });
  event.stopImmediatePropagation(); // the last good number stays in force
  drawNotes();
}

/** Forget the numbers that were corrected, by hand or by a button that sets them. */
function forgetCorrected() {
  for (const place of [...typed.keys()]) {
    const input = document.getElementById(place)?.querySelector("input[type=number]");
    if (!input || fits(input.value, sliderOf(input))) typed.delete(place);
  }
  drawNotes();
  remind(false);
}

function holdBack(event) {
  const button = event.target.closest?.("#generate, #compare-run");
  if (!typed.size || !button) return;
  forgetCorrected();
  if (!typed.size) return;
  event.stopImmediatePropagation();
  event.preventDefault();
  if (button.id === "generate") remind(true);
  else showInCompare();
}

/** The field is on another tab: show its error where Compare shows its own. */
function showInCompare() {
  const [{ place, text }] = typed.values();
  const line = document.querySelector("#compare-summary .summary");
  line.textContent = titleOf(place) + text;
  line.classList.add("first-error");
}

// What gets the focus is scrolled clear of the line and the button, which stay at the window's lower edge.
const reach = element.closest("#reach");
new ResizeObserver(() => {
  document.documentElement.style.scrollPaddingBottom = `${reach.offsetHeight + 8}px`;
}).observe(reach);

window.addEventListener("input", checkNumber, true);
window.addEventListener("click", holdBack, true);
/** The viewer compares it with what its picture was made with. */
function tellFingerprint() {
  document.documentElement.dataset.form = props.value.fingerprint;
  document.dispatchEvent(new CustomEvent("mmdiff-form"));
}

watch("value", () => {
  tellFingerprint();
  const isNew = props.value.attempt !== "" && props.value.attempt !== lastAttempt.attempt;
  if (isNew) {
    lastAttempt = { ...props.value };
    for (const { place } of allErrors()) blamed.add(place);
  }
  drawNotes();
  remind(isNew);
});
new MutationObserver(drawNotes).observe(document.querySelector("#left") ?? document.body, { childList: true, subtree: true });
drawNotes();
