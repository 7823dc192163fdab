// Once per page: Ctrl+Enter (Cmd+Enter) generates; on a narrow screen the result is brought into sight; the place in
// the queue is said in words.
() => {
  const shown = (node) => Boolean(node?.offsetParent);

  document.addEventListener(
    "keydown",
    (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      if (document.querySelector("dialog[open]")) return; // what stands behind it is not meant
      const button = [...document.querySelectorAll("#generate, #compare-run")].find(shown);
      if (!button || button.disabled) return;
      event.preventDefault();
      event.stopPropagation();
      document.activeElement?.blur?.(); // a field hands over its value when it is left
      setTimeout(() => button.click(), 80);
    },
    true,
  );

  // Gradio counts the waiting ones as "queue: 2/3 |"; the one whose picture is being made is before all of them.
  function sayPlace(queue, ahead) {
    const line = document.querySelector(`${ahead} .ahead`);
    const found = /(\d+)\s*\/\s*\d+/.exec(document.querySelector(`${queue} .progress-text`)?.textContent ?? "");
    const { aheadOne = "", aheadMany = "" } = document.querySelector("#spoken [data-nobody]")?.dataset ?? {};
    const text = found ? (found[1] === "1" ? aheadOne : aheadMany.replace("{n}", found[1])) : "";
    if (line && line.textContent !== text) line.textContent = text;
  }
  function sayPlaces() {
    sayPlace("#queue", "#ahead");
    sayPlace("#compare-queue", "#compare-ahead");
  }
  new MutationObserver(sayPlaces).observe(document.body, { childList: true, subtree: true, characterData: true });

  // A narrow screen follows a run that has begun to the result; a fault keeps it where it is.
  new MutationObserver(() => {
    const [stop, result] = [document.querySelector("#stop"), document.querySelector("#result")];
    const running = shown(stop);
    if (running && !document.body.dataset.running && window.innerWidth < 900) result?.scrollIntoView();
    if (running) document.body.dataset.running = "yes";
    else delete document.body.dataset.running;
  }).observe(document.body, { childList: true, subtree: true });
}
