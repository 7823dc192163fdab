// The prompt's words: a menu assigns a word to a subject. Gradio gives `element`, `props`, `watch` and `trigger`.
//
// A chip is button.word with data-word, data-slot where a subject owns it, and data-join, pairs of a slot and the longer
// name that the neighbouring subject would have with this word. A dashed chip, data-add, writes a name into the prompt.
// A note says a data-phrase; its buttons, and dashed chips of names that are nearly there, make a change, data-fix.

const parent = element.parentElement; // holds the menu, which stays when the chips are drawn again
let menu = null;
let refocused = null; // the word that gets the focus back when the chips are drawn again

const chipsHere = () => findAll("button.word");
const nameOf = (slot) => document.querySelector(`#name-${slot + 1} :is(input, textarea)`)?.value.trim() ?? "";
const colours = props.colours;

/** Put one chip into the tab order; arrow keys reach the others. */
function setTabStop(chosen) {
  for (const chip of chipsHere()) chip.tabIndex = chip === chosen ? 0 : -1;
}

function dress() {
  const chips = chipsHere();
  for (const chip of chips) {
    const { word, slot, add } = chip.dataset;
    const owner = slot === undefined ? t("plain_word") : `${t("subject")} ${Number(slot) + 1}`;
    const flaws = [["unknown", "unknown_to_model"], ["unread", "not_read"]].filter(([kind]) => chip.matches(`.${kind}`));
    const said = flaws.map(([, key]) => t(key));
    if (chip.dataset.fix) chip.title = t("make_alike");
    else chip.setAttribute("aria-label", add ? `${add}: ${t("add_to_prompt")}` : [word, owner, ...said].join(", "));
    if (add) chip.title = t("add_to_prompt");
    else if (said.length) chip.title = said.join(", ");
  }
  for (const node of findAll("[data-phrase]")) node.textContent = phraseText(JSON.parse(node.dataset.phrase));
  const back = refocused === null ? null : chips.find((chip) => chip.dataset.word === refocused);
  setTabStop(back ?? menu?.chip ?? chips[0]);
  back?.focus({ preventScroll: true });
  refocused = null;
}

// ------------------------------------------------------------------ the menu

function choicesOf(chip) {
  const { word, slot } = chip.dataset;
  const owner = slot === undefined ? null : Number(slot);
  const joins = JSON.parse(chip.dataset.join ?? "[]").map(([to, name]) => ({ slot: to, word: name, label: name }));
  const cards = Array.from({ length: props.cards }, (_, to) => to).filter((to) => to !== owner);
  const choices = cards.map((to) => ({ slot: to, word, label: `${t("subject")} ${to + 1}`, was: nameOf(to) }));
  if (props.cards < colours.length) choices.push({ slot: props.cards, word, label: t("new_subject") });
  if (owner !== null) choices.push({ slot: null, word, label: t("nobody") });
  return [...joins, ...choices];
}

function itemFor(choice) {
  const item = make("button", { type: "button", tabindex: -1, role: "menuitem" }, make("i", {}), make("span", {}, choice.label));
  if (choice.slot !== null) item.style.setProperty("--subject", colours[choice.slot]);
  if (choice.was) item.append(make("small", {}, choice.was));
  item.addEventListener("click", () => {
    refocused = choice.word;
    closeMenu();
    trigger("assign", { word: choice.word, slot: choice.slot });
  });
  return item;
}

function openMenu(chip) {
  closeMenu();
  menu = make("div", { class: "word-menu", role: "menu", "aria-label": chip.dataset.word }, ...choicesOf(chip).map(itemFor));
  Object.assign(menu, { chip, place: chipsHere().indexOf(chip) });
  parent.append(menu);
  const [box, frame] = [chip.getBoundingClientRect(), parent.getBoundingClientRect()];
  menu.style.left = `${Math.min(box.left - frame.left, Math.max(0, frame.width - menu.offsetWidth))}px`;
  menu.style.top = `${box.bottom - frame.top + 4}px`;
  chip.setAttribute("aria-expanded", "true");
  menu.firstElementChild.focus();
}

function closeMenu(focus = false) {
  if (!menu) return;
  const { chip } = menu;
  menu.remove();
  menu = null;
  chip.removeAttribute("aria-expanded");
  if (focus) chip.focus();
}

function step(nodes, by) {
  const at = nodes.indexOf(document.activeElement);
  const next = nodes[(at + by + nodes.length) % nodes.length];
  if (nodes[0]?.matches(".word")) setTabStop(next);
  next?.focus();
}

// ------------------------------------------------------------------ what the person does

element.addEventListener("click", (event) => {
  const fix = event.target.closest("[data-fix]");
  if (fix) {
    const change = JSON.parse(fix.dataset.fix);
    refocused = Object.values(change.names)[0] ?? fix.textContent;
    return trigger("amend", change);
  }
  const chip = event.target.closest("button.word");
  if (!chip) return;
  if (chip.dataset.add) return trigger("write", { name: chip.dataset.add });
  if (menu?.chip === chip) return closeMenu(true);
  setTabStop(chip);
  openMenu(chip);
});

parent.addEventListener("keydown", (event) => {
  const inMenu = Boolean(menu?.contains(event.target));
  const nodes = inMenu ? [...menu.children] : chipsHere();
  const [back, forth] = inMenu ? ["ArrowUp", "ArrowDown"] : ["ArrowLeft", "ArrowRight"];
  if (event.key === "Escape") closeMenu(true);
  else if (event.key === "Tab") closeMenu();
  else if (event.key === back) step(nodes, -1);
  else if (event.key === forth) step(nodes, 1);
  else if (event.key === "ArrowDown" && event.target.matches(".word[data-word]")) openMenu(event.target);
  else return;
  if (event.key !== "Tab") event.preventDefault();
});

// What the model knows stands in a component of its own, which Gradio draws anew in another language.
document.addEventListener("click", (event) => {
  const chip = event.target.closest("#known [data-known]");
  if (chip && element.isConnected) trigger("phrase", { kind: chip.dataset.kind, phrase: chip.dataset.known });
});

document.addEventListener("pointerdown", (event) => {
  if (menu && !menu.contains(event.target) && !event.target.closest("button.word")) closeMenu();
});

watch("value", () => {
  const chip = menu && chipsHere()[menu.place];
  if (chip?.dataset.word === menu?.chip.dataset.word && menu) menu.chip = chip;
  else closeMenu();
  dress();
});
dress();
