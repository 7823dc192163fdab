// Puts facts about the loaded model and the last picture into the About page, which Gradio draws again in another language.
// Gradio gives `props` and `watch`. props.value is {facts: {name: text}, rows: {name: [[text]]}, when: [name]}.

function fill() {
  const { facts, rows, when } = props.value;
  for (const node of document.querySelectorAll(".about [data-fact]")) {
    const text = facts[node.dataset.fact] ?? "–";
    if (node.textContent !== text) node.textContent = text;
  }
  for (const node of document.querySelectorAll(".about [data-when]")) {
    const hidden = !when.includes(node.dataset.when);
    if (node.hidden !== hidden) node.hidden = hidden;
  }
  for (const body of document.querySelectorAll(".about [data-rows]")) {
    const lines = (rows[body.dataset.rows] ?? []).map((cells) => make("tr", {}, ...cells.map((text) => make("td", {}, text))));
    const news = lines.map((line) => line.textContent).join();
    if (body.dataset.shown === news) continue;
    body.dataset.shown = news;
    body.replaceChildren(...lines);
  }
}

watch("value", fill);
new MutationObserver(fill).observe(document.querySelector("#about-page") ?? document.body, { childList: true, subtree: true });
fill();

// Ask the server for the newest picture whenever the tab is opened.
new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && trigger("look", {})).observe(
  document.querySelector("#about-page") ?? element,
);
