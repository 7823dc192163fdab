// The report's page: shares as they were recorded, and the same scales as TokenMaps.at.

const FLAT = 0.02; // as in maps/heatmap.py: a map that differs by no more than that share of the highest is even

/** The recorded maps: for each layer its size and where its numbers begin. */
function readMaps(data) {
  const bytes = Uint8Array.from(atob(data.maps), (sign) => sign.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const values = Float32Array.from({ length: bytes.length / 2 }, (_, at) => view.getUint16(2 * at, true));
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
  const mean = Math.max(maps.wordCount, 1);
  const change = scale === "contrast" ? (value, at) => value - words[at] / mean : (value, at) => value / Math.max(words[at], 1e-8);
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

/** A value as people read it. */
function valueText(value, scale) {
  const sign = scale === "z" || scale === "contrast" ? (value < 0 ? "\u2212" : "+") : "";
  const size = Math.abs(value);
  return sign + (scale === "z" ? size.toFixed(1) : `${(100 * size).toFixed(2)} %`);
}

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
  const shown = { word: data.first, layer: 0, step: null, scale: data.scale };
  const image = new Image();

  data.words.forEach((word, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = word.concept ? `+ ${word.label}` : word.label;
    button.title = word.concept ? "not in the prompt" : "";
    button.addEventListener("click", () => update({ word: index }));
    part(word.concept || word.label.startsWith("<") ? "marks" : "words").append(button);
    word.button = button;
  });
  fill(part("scale"), data.scales.map(({ name, label }) => [name, label]));
  fill(part("layer"), data.layers.map(({ name, h, w }, index) => [index, index ? `${name}, ${w} \u00d7 ${h}` : name]));
  part("scale").value = shown.scale;
  part("step").max = data.steps.length;
  part("step").value = data.steps.length;
  part("scale").addEventListener("change", (event) => update({ scale: event.target.value }));
  part("layer").addEventListener("change", (event) => update({ layer: Number(event.target.value) }));
  part("step").addEventListener("input", (event) => update({ step: stepAt(Number(event.target.value)) }));
  part("opacity").addEventListener("input", () => update({}));
  part("picture").addEventListener("pointermove", read);
  part("note").textContent = [stepNote(), data.dropped].filter(Boolean).join(" ");
  image.addEventListener("load", () => update({}));
  image.src = data.image;

  function stepAt(index) {
    return index < data.steps.length ? index : null; // behind the last step: their mean
  }

  function stepNote() {
    return data.steps.length < data.stepsMade ? `${data.steps.length} of ${data.stepsMade} steps are in this file.` : "";
  }

  function update(change) {
    Object.assign(shown, change);
    const word = data.words[shown.word];
    const map = mapOf(maps, word, shown.layer, shown.step, shown.scale);
    const range = rangeOf(map.values);
    for (const each of data.words) each.button.setAttribute("aria-pressed", String(each === word));
    part("step-name").textContent = shown.step === null ? "mean of all" : `${data.steps[shown.step] + 1} of ${data.stepsMade}`;
    part("step").setAttribute("aria-valuetext", part("step-name").textContent);
    part("low").textContent = range ? valueText(range.low, shown.scale) : "even all over";
    part("high").textContent = range ? `${valueText(range.high, shown.scale)} or more` : valueText(map.values[0], shown.scale);
    part("picture").setAttribute("aria-label", `The image under the map of ${word.label}: ${part("low").textContent} to ${part("high").textContent}`);
    drawPicture(map, range);
    drawBar();
    drawTimeline(word);
    shown.map = map;
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
    const box = event.target.getBoundingClientRect();
    const column = Math.min(w - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * w)));
    const row = Math.min(h - 1, Math.max(0, Math.floor(((event.clientY - box.top) / box.height) * h)));
    const share = valueText(values[row * w + column], shown.scale);
    part("reading").textContent = `${data.words[shown.word].label} here: ${share}`;
  }
}

/** Puts options [value, label] into a select. */
function fill(select, options) {
  for (const [value, label] of options) select.append(new Option(label, value));
}
