// The report's page: shares as they were recorded, and the same scales as TokenMaps.at.

const FLAT = 0.02; // as in maps/heatmap.py: a map that differs by no more than that share of the highest is even

/** Little-endian uint16 out of base64. */
function numbersOf(text) {
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / 2 }, (_, at) => view.getUint16(2 * at, true));
}

/** Where a pixel looks in the image itself: {h, w, values} from a point {x, y} in fractions of width and height. */
function looksFrom({ h, w, unit, numbers }, { x, y }) {
  const pixel = Math.min(h - 1, Math.floor(y * h)) * w + Math.min(w - 1, Math.floor(x * w));
  return { h, w, values: numbers.slice(pixel * h * w, (pixel + 1) * h * w).map((value) => value * unit) };
}

/** The recorded maps: for each layer its size and where its numbers begin. */
function readMaps(data) {
  const values = numbersOf(data.maps);
  let begin = 0;
  const layers = data.layers.map(({ name, h, w }) => {
    const layer = { name, h, w, begin };
    begin += data.steps.length * data.rows * h * w;
    return layer;
  });
  return { ...data, values, layers };
}

/** The sum of rows in a layer, at a step or, for null, the mean over the steps. */
function sumOf(maps, layer, step, rows) {
  const { h, w, begin } = maps.layers[layer];
  const steps = step === null ? maps.steps.map((_, index) => index) : [step];
  const sum = new Float32Array(h * w);
  for (const at of steps) {
    for (const row of rows) {
      const first = begin + (at * maps.rows + row) * h * w;
      const unit = maps.units[row] / steps.length;
      for (let pixel = 0; pixel < h * w; pixel++) sum[pixel] += maps.values[first + pixel] * unit;
    }
  }
  return sum;
}

/** A word's map {h, w, values} on a scale. */
function mapOf(maps, word, layer, step, scale) {
  const { h, w } = maps.layers[layer];
  const values = sumOf(maps, layer, step, word.rows);
  if (scale === "share") return { h, w, values };
  if (scale === "z") return { h, w, values: standardised(values) };
  const words = sumOf(maps, layer, step, maps.wordRows);
  const count = Math.max(maps.wordCount, 1);
  const own = sumOf(maps, layer, step, word.rows.filter((row) => maps.wordRows.includes(row)));
  const among = (value, at) => value / Math.max(words[at] + value - own[at], 1e-8);
  const change = scale === "contrast" ? (value, at) => value - words[at] / count : among;
  return { h, w, values: values.map(change) };
}

/** Values as standard deviations from their mean. */
function standardised(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const spread = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
  return values.map((value) => (spread > 1e-8 ? (value - mean) / spread : 0));
}

/** The range that the colours show: from the lowest value to the 99th percentile; null for an even map. */
function rangeOf(values) {
  const sorted = Float32Array.from(values).sort();
  const at = 0.99 * (sorted.length - 1);
  const below = sorted[Math.floor(at)];
  const high = below + (at - Math.floor(at)) * (sorted[Math.ceil(at)] - below);
  return high - sorted[0] <= FLAT * Math.abs(high) ? null : { low: sorted[0], high };
}

/** A value as people read it in their language. */
function valueText(value, scale, locale) {
  const digits = scale === "z" ? 1 : 2;
  const style = { style: scale === "z" ? "decimal" : "percent", minimumFractionDigits: digits, maximumFractionDigits: digits };
  const sign = scale === "z" || scale === "contrast" ? (value < 0 ? "\u2212" : "+") : "";
  return sign + new Intl.NumberFormat(locale, style).format(Math.abs(value));
}

/** A text with its gaps filled. */
const filled = (text, values) => text.replace(/{(\w+)}/g, (gap, name) => values[name]);

/** The colour [red, green, blue] of a strength from 0 to 1. */
function colourOf(palette, strength) {
  const at = Math.min(1, Math.max(0, strength)) * (palette.length - 1);
  const low = Math.min(palette.length - 2, Math.floor(at));
  return palette[low].map((value, channel) => value + (at - low) * (palette[low + 1][channel] - value));
}

/** Builds the page. */
function start(data) {
  const maps = readMaps(data);
  const palette = data.palette.map((hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)));
  const part = (id) => document.getElementById(id);
  const say = (key, values = {}) => filled(data.texts[key], values);
  const valueOf = (value, scale) => valueText(value, scale, data.texts.locale);
  const shown = { word: data.first, layer: 0, step: null, scale: data.scale, point: null };
  const looks = data.looks && { ...data.looks, numbers: numbersOf(data.looks.weights) };
  const image = new Image();

  data.words.forEach((word, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = word.concept ? `+ ${word.label}` : word.label;
    button.title = word.concept ? say("not_in_prompt") : "";
    button.addEventListener("click", () => update({ word: index, point: null }));
    part(word.concept || word.label.startsWith("<") ? "marks" : "words").append(button);
    word.button = button;
  });
  fill(part("scale"), data.scales.map((name) => [name, say(name)]));
  fill(part("layer"), data.layers.map(({ name, h, w }, index) => [index, index ? `${name}, ${w} \u00d7 ${h}` : say("all_layers")]));
  part("last-step").textContent = data.steps.length > 1 ? data.steps.at(-1) + 1 : "";
  part("scale").value = shown.scale;
  part("step").max = data.steps.length;
  part("step").value = data.steps.length;
  part("scale").addEventListener("change", (event) => update({ scale: event.target.value }));
  part("layer").addEventListener("change", (event) => update({ layer: Number(event.target.value) }));
  part("step").addEventListener("input", (event) => update({ step: stepAt(Number(event.target.value)) }));
  part("opacity").addEventListener("input", () => update({}));
  part("picture").addEventListener("pointermove", read);
  if (looks) {
    part("picture").tabIndex = 0;
    part("picture").classList.add("clickable");
    part("picture").addEventListener("click", (event) => update({ point: pointOf(event) }));
    part("picture").addEventListener("keydown", movePoint);
  }
  part("looks").textContent = looks ? say("looks_help") : "";
  part("note").textContent = [stepNote(), data.dropped].filter(Boolean).join(" ");
  image.addEventListener("load", () => update({}));
  image.src = data.image;

  function stepAt(index) {
    return index < data.steps.length ? index : null; // behind the last step: their mean
  }

  function stepNote() {
    return data.steps.length < data.stepsMade ? say("steps_kept", { n: data.steps.length, m: data.stepsMade }) : "";
  }

  function pointOf({ target, clientX, clientY }) {
    const box = target.getBoundingClientRect();
    const within = (value) => Math.min(1, Math.max(0, value));
    return { x: within((clientX - box.left) / box.width), y: within((clientY - box.top) / box.height) };
  }

  /** The arrow keys move the point by a pixel of the layer; Escape goes back to the word. */
  function movePoint(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], Escape: null };
    if (!(event.key in moves)) return;
    event.preventDefault();
    const move = moves[event.key];
    const { x, y } = shown.point || { x: 0.5, y: 0.5 };
    const to = (value, step, count) => Math.min(1 - 0.5 / count, Math.max(0.5 / count, value + step / count));
    update({ point: move && { x: to(x, move[0], looks.w), y: to(y, move[1], looks.h) } });
  }

  function update(change) {
    Object.assign(shown, change);
    const word = data.words[shown.word];
    const map = shown.point ? looksFrom(looks, shown.point) : mapOf(maps, word, shown.layer, shown.step, shown.scale);
    const range = rangeOf(map.values);
    for (const each of data.words) each.button.setAttribute("aria-pressed", String(each === word && !shown.point));
    part("step-name").textContent = shown.step === null ? say("mean_of_all") : say("step_of", { n: data.steps[shown.step] + 1, m: data.stepsMade });
    part("step").setAttribute("aria-valuetext", part("step-name").textContent);
    const scale = scaleShown();
    part("low").textContent = range ? valueOf(range.low, scale) : say("even");
    part("high").textContent = range ? say("or_more", { value: valueOf(range.high, scale) }) : valueOf(map.values[0], scale);
    part("shown").textContent = nameShown();
    part("reading").textContent = say("point_at"); // what stood there was of another map
    part("of-word").inert = Boolean(shown.point); // scale, layers, steps and bars are the words'
    if (looks) part("looks").textContent = say(shown.point ? "back" : "looks_help");
    part("picture").setAttribute("aria-label", `${nameShown()}. ${part("low").textContent} \u2013 ${part("high").textContent}`);
    drawPicture(map, range);
    if (shown.point) drawPoint(shown.point);
    drawBar();
    drawTimeline(word);
    shown.map = map;
  }

  function scaleShown() {
    return shown.point ? "share" : shown.scale;
  }

  function nameShown() {
    if (!shown.point) return say("map_of", { word: data.words[shown.word].label, scale: say(shown.scale) });
    const [x, y] = [shown.point.x, shown.point.y].map((at) => `${Math.round(100 * at)}%`);
    return say("looks_of", { x, y, n: looks.step + 1, layer: looks.layer });
  }

  function drawPoint({ x, y }) {
    const canvas = part("picture");
    const context = canvas.getContext("2d");
    for (const [colour, width] of [["black", 5], ["white", 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = (width * canvas.width) / 512;
      context.beginPath();
      context.arc(x * canvas.width, y * canvas.height, canvas.width / 64, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  function drawPicture({ h, w, values }, range) {
    const canvas = part("picture");
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const context = canvas.getContext("2d");
    context.filter = range ? "grayscale(1)" : "none"; // so that colours are the map's alone
    context.drawImage(image, 0, 0);
    context.filter = "none";
    if (!range) return;
    const small = document.createElement("canvas");
    small.width = w;
    small.height = h;
    const pixels = new ImageData(w, h);
    values.forEach((value, at) => {
      pixels.data.set([...colourOf(palette, (value - range.low) / (range.high - range.low)), 255], 4 * at);
    });
    small.getContext("2d").putImageData(pixels, 0, 0);
    context.globalAlpha = Number(part("opacity").value) / 100;
    context.imageSmoothingQuality = "high";
    context.drawImage(small, 0, 0, canvas.width, canvas.height);
  }

  function drawBar() {
    const context = part("bar").getContext("2d");
    for (let x = 0; x < 256; x++) {
      context.fillStyle = `rgb(${colourOf(palette, x / 255).join(" ")})`;
      context.fillRect(x, 0, 1, 12);
    }
  }

  /** The word's mean share at each step; the chosen one in full colour. */
  function drawTimeline(word) {
    const canvas = part("timeline");
    const context = canvas.getContext("2d");
    const means = data.steps.map((_, step) => {
      const { values } = mapOf(maps, word, shown.layer, step, "share");
      return values.reduce((sum, value) => sum + value, 0) / values.length;
    });
    const top = Math.max(...means, 1e-8);
    part("bars").textContent = say("bars", { word: word.label, value: valueOf(top, "share") });
    context.clearRect(0, 0, canvas.width, canvas.height);
    const width = canvas.width / (means.length + 1); // the last place is that of the mean
    means.forEach((mean, step) => {
      context.fillStyle = getComputedStyle(document.body).getPropertyValue("color");
      context.globalAlpha = shown.step === null || shown.step === step ? 0.9 : 0.35;
      const height = Math.max(2, (mean / top) * canvas.height);
      context.fillRect(step * width + 1, canvas.height - height, width - 2, height);
    });
    context.globalAlpha = 1;
  }

  function read(event) {
    const { h, w, values } = shown.map;
    const { x, y } = pointOf(event);
    const value = values[Math.min(h - 1, Math.floor(y * h)) * w + Math.min(w - 1, Math.floor(x * w))];
    const texts = { word: data.words[shown.word].label, value: valueOf(value, scaleShown()) };
    part("reading").textContent = say(shown.point ? "looked_at" : "here", texts);
  }
}

/** Puts options [value, label] into a select. */
function fill(select, options) {
  for (const [value, label] of options) select.append(new Option(label, value));
}
