// Once per page: Ctrl+Enter (Cmd+Enter) generates; on a narrow screen the result is brought into sight; the place in
// the queue is put into words; what is open is said; messages are put into the person's language.

document.addEventListener(
  "keydown",
  (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    if (document.querySelector("dialog[open]")) return; // what stands behind it is not meant
    const button = [...document.querySelectorAll("#generate, #compare-run")].find(isVisible);
    if (!button || button.disabled) return;
    event.preventDefault();
    event.stopPropagation();
    document.activeElement?.blur?.(); // a field hands over its value when it is left
    setTimeout(() => button.click(), 80);
  },
  true,
);

// Gradio counts those who wait as "queue: 2/3 |"; the one whose picture is being made is before all of them.
function tellQueuePlace(queue, ahead) {
  const line = document.querySelector(`${ahead} .ahead`);
  const found = /(\d+)\s*\/\s*\d+/.exec(document.querySelector(`${queue} .progress-text`)?.textContent ?? "");
  const text = found ? t(found[1] === "1" ? "ahead_one" : "ahead_many", { n: found[1] }) : "";
  if (line && line.textContent !== text) line.textContent = text;
}

function tellQueuePlaces() {
  tellQueuePlace("#queue", "#ahead");
  tellQueuePlace("#compare-queue", "#compare-ahead");
}

new MutationObserver(tellQueuePlaces).observe(document.body, { childList: true, subtree: true, characterData: true });

// A narrow screen follows a run that has begun to the result; a validation error keeps it where it is. It is looked for once
// a frame: whether something is visible is costly to know while the page is being changed.
let isLooking = false;

function followRun() {
  isLooking = false;
  const [stop, result] = [document.querySelector("#stop"), document.querySelector("#result")];
  const running = isVisible(stop);
  if (running && !document.body.dataset.running && window.innerWidth < 900) result?.scrollIntoView();
  if (running) document.body.dataset.running = "yes";
  else delete document.body.dataset.running;
}

new MutationObserver(() => {
  if (!isLooking) requestAnimationFrame(followRun);
  isLooking = true;
}).observe(document.body, { childList: true, subtree: true });

// Gradio does not tell screen readers whether a group of fields is open.
function tellWhatIsOpen() {
  for (const head of document.querySelectorAll(".label-wrap")) {
    const open = String(head.classList.contains("open"));
    if (head.getAttribute("aria-expanded") !== open) head.setAttribute("aria-expanded", open);
  }
}

new MutationObserver(tellWhatIsOpen).observe(document.body, { childList: true, subtree: true, attributeFilter: ["class"] });

// Gradio shows messages as the server sends them, in English, in the upper right corner, whatever they cover there.
new MutationObserver((changes) => {
  for (const { addedNodes } of changes) {
    for (const node of addedNodes) {
      for (const message of node.querySelectorAll?.("[data-testid=toast-text]") ?? []) tellInOwnLanguage(message);
      const messages = node.closest?.(".toast-wrap") ?? node.querySelector?.(".toast-wrap");
      if (messages) for (const after of [0, 400]) setTimeout(placeMessages, after, messages); // what it tells of may move
    }
  }
}).observe(document.body, { childList: true, subtree: true });

function placeMessages(node) {
  if (!node.isConnected || !node.offsetHeight) return;
  node.style.right = "auto";
  placeFreely(node, (size, screen) => ({ left: screen.w - size.w, top: 0 }));
}

function tellInOwnLanguage(message) {
  const [line] = [...message.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
  const text = line && sentenceText(message.textContent.trim());
  if (line && message.childElementCount === 0 && text !== line.data.trim()) line.data = text;
}
