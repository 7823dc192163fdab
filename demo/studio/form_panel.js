// What is amiss, beside its field. Gradio gives `element`, `props` and `watch`.
//
// props.value is {faults: [{place, text, level}], asked, of}: `place` is a field's id; `asked` is another word for every
// Generate in vain, and empty while somebody types; `of` is a word for what the fields held. Notes are put back when
// Gradio draws a field anew.

const notes = new Map(); // place -> paragraph
const typed = new Map(); // place -> fault of a number that no slider can take; the server never sees it
let vain = { asked: "", of: null }; // what the last Generate in vain was told; we have led to its first fault
let reminding = false;

const allFaults = () => [...typed.values(), ...served().filter(({ place }) => !typed.has(place))];

/** What was said of the same fields while they were typed may come after Generate's word, which says more. */
function served() {
  return (props.value.of === vain.of ? vain : props.value).faults;
}

/** Where the note of a field stands: photos say theirs below what the model sees of them. */
function homeOf(place) {
  return place && document.getElementById(place.replace(/^photos-/, "seen-"));
}

function inputsOf(place) {
  return [...(document.getElementById(place)?.querySelectorAll("input, textarea") ?? [])];
}

function write(place, faults) {
  const home = homeOf(place);
  if (!home) return;
  const note = notes.get(place) ?? document.createElement("p");
  notes.set(place, note);
  const text = faults.map((fault) => fault.text).join(" ");
  const level = ["wrong", "lacking", "note"].find((name) => faults.some((fault) => fault.level === name));
  if (note.textContent !== text) note.textContent = text;
  if (note.className !== `fault ${level}`) note.className = `fault ${level}`;
  if (note.parentElement !== home) home.append(note);
  note.id = `fault-${place}`;
  for (const input of inputsOf(place)) {
    if (level !== "note") input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", note.id);
  }
}

function erase(place) {
  notes.get(place)?.remove();
  notes.delete(place);
  for (const input of inputsOf(place)) {
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-describedby");
  }
}

function show() {
  const places = new Map();
  for (const fault of allFaults()) places.set(fault.place, [...(places.get(fault.place) ?? []), fault]);
  for (const place of [...notes.keys()]) if (!places.has(place)) erase(place);
  for (const [place, said] of places) write(place, said);
}

// ------------------------------------------------------------------ the line above the button

/** It stands from the first Generate in vain until all is mended. */
function remind(anew) {
  const first = allFaults().find((fault) => fault.level !== "note");
  reminding = Boolean(first) && (reminding || anew);
  const line = find(".todo");
  line.hidden = !reminding;
  line.textContent = reminding ? titleOf(first.place) + first.text : "";
  if (reminding && anew) lead(first.place);
}

/** Away from its field a fault needs the field's name, where its sentence does not say it. */
function titleOf(place) {
  const card = /^(?:name|strength)-(\d)$/.exec(place);
  if (card) return `${t("subject")} ${card[1]}: `;
  const label = document.getElementById(place)?.querySelector("[data-testid=block-info]")?.textContent.trim();
  return typed.has(place) && label ? `${label}: ` : "";
}

function lead(place) {
  const settings = document.querySelector("#settings");
  if (settings?.querySelector(`[id="${place}"]`) || place === "settings") open(settings);
  const home = document.getElementById(place);
  home?.scrollIntoView({ block: "center" });
  (home?.querySelector("input:not([type=file]), textarea") ?? home?.querySelector("button"))?.focus({ preventScroll: true });
}

function open(accordion) {
  const head = accordion.querySelector("button");
  if (head?.getAttribute("aria-expanded") === "false") head.click();
}

// ------------------------------------------------------------------ numbers that a slider cannot take

const sliderOf = (input) => input.matches?.("input[type=number]") && input.closest(".block")?.querySelector("input[type=range]");

function fits(value, { min, max }) {
  return value !== "" && Number(value) >= Number(min) && Number(value) <= Number(max);
}

function checkNumber(event) {
  const slider = sliderOf(event.target);
  const place = event.target.closest?.(".block[id]")?.id;
  if (!slider || !place || fits(event.target.value, slider)) return settle();
  const text = t("range", { min: slider.min, max: slider.max });
  typed.set(place, { place, text, level: "wrong" });
  event.stopImmediatePropagation(); // the last good number stays in force
  show();
}

/** Forgets the numbers that were mended, by hand or by a button that sets them. */
function settle() {
  for (const place of [...typed.keys()]) {
    const input = document.getElementById(place)?.querySelector("input[type=number]");
    if (!input || fits(input.value, sliderOf(input))) typed.delete(place);
  }
  show();
  remind(false);
}

function holdBack(event) {
  const button = event.target.closest?.("#generate, #compare-run");
  if (!typed.size || !button) return;
  settle();
  if (!typed.size) return;
  event.stopImmediatePropagation();
  event.preventDefault();
  if (button.id === "generate") remind(true);
  else sayInCompare();
}

/** The field is behind another tab: its fault stands where Compare says its own. */
function sayInCompare() {
  const [{ place, text }] = typed.values();
  const line = document.querySelector("#compare-plan .plan");
  line.textContent = titleOf(place) + text;
  line.classList.add("todo");
}

window.addEventListener("input", checkNumber, true);
window.addEventListener("click", holdBack, true);
watch("value", () => {
  const anew = props.value.asked !== "" && props.value.asked !== vain.asked;
  if (anew) vain = { ...props.value };
  show();
  remind(anew);
});
new MutationObserver(show).observe(document.querySelector("#left") ?? document.body, { childList: true, subtree: true });
show();
