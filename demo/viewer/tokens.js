// Maps of everything that an inspected prompt is made of, see token_parts.py: frame.tokens is {parts: [{kind, name, rows}],
// first, words, count, dropped}, and the maps' kind "words" has a row of shares per token. A part's map is the sum of its
// rows, in one of the scales of heatmap.js.

const TOKEN_SCALES = ["share", "among_words", "contrast", "z"];
const TILE_SIDE = 80; // CSS pixels

/** The map of a part in the chosen scale; `at` is {step, size, head} of mapOf. */
function tokenMap(frame, part, at) {
  const sumOf = (rows) => summed(rows.map((row) => mapOf(frame.maps, "words", row, at)));
  const { rows } = frame.tokens.parts[part];
  const { words, count } = frame.tokens;
  const share = sumOf(rows);
  return share && inScale(view.scale, share, sumOf(words), count, sumOf(rows.filter((row) => words.includes(row))));
}

/** The name of a part for people. */
const partName = ({ kind, name }) => (["start", "end", "padding", "rest"].includes(kind) ? t(`token_${kind}`) : name);

/** A value of a map for people: what it is depends on the scale. */
function valueText(frame, value, digits = 0) {
  if (!frame.tokens) return percent(value, digits);
  const signed = { signDisplay: "exceptZero", maximumFractionDigits: view.scale === "z" ? 1 : digits };
  if (view.scale === "z") return `${new Intl.NumberFormat(t("locale"), signed).format(value)} σ`;
  if (view.scale !== "contrast") return percent(value, digits);
  return new Intl.NumberFormat(t("locale"), { style: "percent", ...signed }).format(value);
}

/** A tile for every part: its map over the picture, and its name. */
function drawTiles(frame) {
  find(".tiles").hidden = !frame.tokens;
  if (!frame.tokens) return;
  const box = find(".tiles");
  const names = frame.tokens.parts.map(({ kind, name }) => `${kind} ${name}`).join("\n");
  if (box.dataset.names !== names) {
    box.dataset.names = names;
    box.replaceChildren(...frame.tokens.parts.map(emptyTile));
  }
  const chosen = wordOf(frame).word;
  [...box.children].forEach((tile, i) => {
    tile.setAttribute("aria-pressed", String(i === chosen));
    tile.tabIndex = i === chosen ? 0 : -1;
  });
  paintTiles(frame, box);
}

function emptyTile(part, number) {
  const { kind } = part;
  const note = t(`kind_${kind}`);
  const attributes = { type: "button", class: "tile", "data-part": number, "data-kind": kind, title: note };
  return make("button", attributes, make("canvas", { "aria-hidden": "true" }), make("span", {}, partName(part)), make("small", {}, note));
}

/** Paint the tiles where what they show has changed. */
function paintTiles(frame, box) {
  const picture = find(".picture");
  if (!picture.complete || !picture.naturalWidth) return; // they are painted once it is loaded
  const style = { ...styleNow(), outline: false };
  const step = view.step && !isLive() ? view.step - 1 : ALL;
  const key = [picture.src, frame.name, step, sizeOf(frame), headOf(frame), view.scale, JSON.stringify(style)].join();
  if (tiles.key === key && tiles.maps === frame.maps) return;
  Object.assign(tiles, { key, maps: frame.maps });
  const dots = Math.min(window.devicePixelRatio || 1, 2);
  const side = TILE_SIDE * dots;
  const size = { width: side, height: Math.round((side * picture.naturalHeight) / picture.naturalWidth) };
  [...box.children].forEach((tile, subject) => {
    const canvas = tile.querySelector("canvas");
    Object.assign(canvas, size);
    const map = shownMap(frame, subject, step);
    if (map) paintOverlay(canvas, picture, [{ map, colour: WORD_COLOUR, subject }], style);
  });
}

const tiles = { key: null, maps: null };

function chooseTile(tile) {
  view.word = Number(tile.dataset.part);
  drawMaps();
}

find(".tiles").addEventListener("keydown", (event) => {
  const way = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const tile = event.target.closest(".tile");
  const next = way && tile && (way > 0 ? tile.nextElementSibling : tile.previousElementSibling);
  if (!next) return;
  event.preventDefault();
  chooseTile(next);
  next.focus();
});

/** What the chosen scale tells, and what of the maps could not be kept. */
function drawScaleChoice(frame) {
  if (!frame.tokens) return;
  const menu = find(".scale-choice");
  if (!menu.options.length || menu.options[0].textContent !== t("scale_share")) fillMenu(".scale-choice", TOKEN_SCALES.map((scale) => [scale, t(`scale_${scale}`)]), view.scale);
  const { scale } = view;
  menu.value = scale;
  find(".scale-help").textContent = t(`scale_${scale}_help`);
  find(".dropped").textContent = sentenceText(frame.tokens.dropped);
}
