// A toast that says what a click replaced, with a button that brings it back, as Ctrl+Z (Cmd+Z) does outside of text
// fields, which undo what was typed. Gradio gives `element`, `props`, `trigger` and `watch`; see undo.py for props.value.

const SHOWN_MS = 12_000;
const MOVED_MS = 200; // after which the page stands still again
let [timer, moving] = [0, 0];
let undoing = ""; // the record that the server was asked to undo: a second click must not undo another step

function hide() {
  clearTimeout(timer);
  find(".undo-toast").hidden = true;
}

/** The toast goes by itself, but not while it is pointed at or has the focus. */
function hideLater() {
  clearTimeout(timer);
  timer = setTimeout(() => (find(".undo-toast").matches(":hover, :focus-within") ? hideLater() : hide()), SHOWN_MS);
}

function undo() {
  if (!props.value.steps || undoing === props.value.order) return;
  undoing = props.value.order;
  hide();
  trigger("undo", {});
}

/** Near Generate, but over nothing that can be clicked; again once the page has moved. */
function place() {
  if (find(".undo-toast").hidden) return;
  placeFreely(find(".undo-toast"), (size, screen) => {
    const button = document.querySelector("#actions")?.getBoundingClientRect();
    const middle = button?.width ? button.left + button.width / 2 : screen.w / 2;
    return { left: middle - size.w / 2, top: (button?.width ? button.top : screen.h) - size.h };
  });
}

function placeLater() {
  clearTimeout(moving);
  moving = setTimeout(place, MOVED_MS);
}

function show() {
  hide();
  const { what, said, gaps } = props.value;
  if (!what && !said) return;
  fillTexts();
  find(".undo-what").textContent = said ? sentenceText(said) : t(what, gaps);
  find(".undo-do").hidden = !what; // nothing was replaced
  find(".undo-toast").hidden = false;
  place();
  placeLater(); // what the click changed may take its place
  hideLater();
}

const undoesItself = (node) => node?.matches?.("textarea, input:not([type=range], [type=checkbox], [type=radio], [type=file])");

find(".undo-do").addEventListener("click", undo);
find(".undo-close").addEventListener("click", hide);
document.addEventListener("keydown", (event) => {
  const asked = event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey;
  if (!asked || !props.value.steps || undoesItself(event.target) || document.querySelector("dialog[open]")) return;
  event.preventDefault();
  undo();
});
document.addEventListener("scroll", placeLater, { passive: true, capture: true });
window.addEventListener("resize", placeLater);
watch("value", show);
