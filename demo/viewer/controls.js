// The heatmap's controls: what they show, and what the person does with them.

/** How heatmaps are drawn, see overlay.js. */
function styleNow() {
  return {
    opacity: find(".opacity").value / 100,
    threshold: find(".threshold").value / 100,
    palette: find(".palettes input:checked").value,
    outline: find(".outline").checked,
  };
}

const recordedWords = (frame) => groupsOf(frame.maps, "words")[0]?.subjects ?? 0;

function drawSentence(frame) {
  const recorded = frame.tokens ? 0 : recordedWords(frame); // an inspected prompt has tiles
  const words = frame.sentence.map(({ text, subject, word }) => {
    if (subject === null) return word < recorded ? wordButton(text, word) : document.createTextNode(text);
    const mark = make("mark", { "data-subject": subject }, text);
    mark.style.setProperty("--subject", frame.subjects[subject].colour);
    const nth = frame.subjects[subject].name.slice(text.length).trim(); // of those with one name
    if (nth) mark.dataset.nth = nth;
    return mark;
  });
  find(".sentence").replaceChildren(...words);
}

function wordButton(text, word) {
  const pressed = String(word === view.word);
  return make("button", { type: "button", class: "other-word", "data-word": word, "aria-pressed": pressed, title: t("word_help") }, text);
}

function drawSubjects(frame) {
  const toggles = frame.subjects.map(({ name, colour }, i) => {
    const toggle = make("button", { type: "button", class: "chip", "data-subject": i }, name);
    toggle.setAttribute("aria-pressed", String(!wordOf(frame) && !view.hidden.has(i)));
    toggle.style.setProperty("--subject", colour);
    return toggle;
  });
  if (toggles.length > 1) toggles.push(make("button", { type: "button", class: "chip all" }, allLabel(frame)));
  find(".subjects").replaceChildren(...toggles);
}

const allLabel = (frame) => t(wordOf(frame) || frame.subjects.some((_, i) => view.hidden.has(i)) ? "show_all" : "hide_all");

function drawSizes(frame) {
  const groups = shownGroups(frame);
  const sizes = Map.groupBy(groups, sizeName);
  const bySize = [...sizes].map(([size, own]) => [size, `${size} (${layerCount(own)})`]);
  const byLayer = groups.filter(({ layer }) => layer).map((group) => [group.layer, `${sizeName(group)}, ${layerName(group)}`]);
  fillMenu(".sizes", [["", t("all_layers")], ...bySize, ...byLayer], sizeOf(frame) ?? "");
  const heads = groups.find(({ layer }) => layer && layer === sizeOf(frame))?.heads ?? 0;
  const each = Array.from({ length: heads }, (_, head) => [String(head), t("head_of", { n: head + 1, m: heads })]);
  fillMenu(".heads", [["", t("all_layers")], ...each], String(headOf(frame) ?? ""));
  find(".heads").disabled = !heads;
  find(".heads").title = heads || !byLayer.length ? "" : t("heads_help");
}

function fillMenu(selector, entries, value) {
  find(selector).replaceChildren(...entries.map(([name, text]) => make("option", { value: name }, text)));
  find(selector).value = value;
}

function layerCount(groups) {
  const layers = groups.reduce((sum, group) => sum + group.layers, 0);
  return layers === 1 ? t("one_layer") : t("many_layers", { n: layers });
}

/** "down 1.0" for down_blocks.1.attentions.0.transformer_blocks.0.attn2; deeper blocks add their number. */
function layerName({ layer }) {
  const [block, attention, inner] = layer.split(/\.?(?:attentions|transformer_blocks|attn2)\.?/);
  const name = block.replace(/_blocks?\.?/, " ").trim();
  const place = `${name}${/\d$/.test(name) ? "." : " "}${attention ?? ""}`.trim();
  return inner && inner !== "0" ? t("deeper_block", { name: place, n: inner }) : place;
}

function drawControls(frame) {
  const kind = kindOf(frame);
  for (const radio of findAll(".kinds input")) radio.checked = radio.value === kind;
  find(".kind-help").textContent = t(wordOf(frame) ? "word_help" : `help_${kind}`);
  const slider = find(".step");
  slider.max = frame.maps.steps;
  slider.disabled = find(".play").disabled = isLive();
  slider.value = view.step = isLive() ? 0 : Math.min(view.step, frame.maps.steps);
  const text = view.step ? t("step_of", { n: view.step, m: frame.maps.steps }) : t("all_steps");
  find(".step-text").textContent = isLive() && !isMoved() ? t("newest") : text;
  slider.setAttribute("aria-valuetext", text);
  const { opacity, threshold } = styleNow();
  find(".opacity-text").textContent = percent(opacity);
  find(".threshold-text").textContent = threshold ? percent(threshold) : t("no_threshold");
  find(".outline-help").textContent = t("outline_at", { part: percent(outlineLevel({ threshold })) });
  drawSizes(frame);
  drawScaleChoice(frame);
}

/** For every visible map: its colours and the values that they stand for. */
function drawScales(frame, layers, { palette }) {
  const scales = layers.map(({ name, colour, map }) => {
    const { lo, hi } = rangeOf(map);
    const bar = make("span", { class: "bar" });
    bar.style.background = paletteGradient(palette, colour);
    return make("span", { class: "scale" }, make("b", {}, name), valueText(frame, lo), bar, valueText(frame, hi));
  });
  find(".scales").replaceChildren(...scales);
}

function toggleSubject(subject) {
  if (view.word !== null) return (view.word = null);
  view.solo = null;
  if (!view.hidden.delete(subject)) view.hidden.add(subject);
}

function toggleAll() {
  const some = view.word !== null || view.hidden.size > 0;
  view.word = null;
  view.hidden = new Set(some ? [] : frameNow().subjects.keys());
}

element.addEventListener("input", (event) => {
  if (event.target.matches(".kinds input")) Object.assign(view, { kind: event.target.value, word: null });
  if (event.target.matches(".sizes")) view.size = event.target.value;
  if (event.target.matches(".heads")) view.head = event.target.value;
  if (event.target.matches(".scale-choice")) view.scale = event.target.value;
  if (event.target.matches(".step")) {
    stopPlaying();
    view.step = Number(event.target.value);
  }
  if (event.target.matches(".layouts input, .kinds input")) return draw();
  drawMaps();
});

// While the pointer is on a word or a chip, that subject is shown alone.
for (const [kind, leaves] of [["pointerover", false], ["pointerout", true]]) {
  element.addEventListener(kind, (event) => {
    const target = event.target.closest("mark[data-subject], .chip[data-subject]");
    if (!target || event.pointerType === "touch") return;
    view.solo = leaves ? null : Number(target.dataset.subject);
    drawOverlay();
  });
}
