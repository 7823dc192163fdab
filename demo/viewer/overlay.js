// Maps over a picture, pixel by pixel: the picture in grey, under the colours of what attends. It is the rule of
// mmdiff_core/maps/heatmap.py, `overlay_maps`; a test holds them to each other.
//
// A layer is {map, colour, name, subject}. A style is {opacity, threshold, palette, outline}: opacity and threshold from
// 0 to 1, palette "subject", "viridis" or "inferno".

const LUMA = [0.299, 0.587, 0.114];
const [GROUND_DARK, GROUND_RANGE] = [0.12, 0.5]; // the picture in grey: what black becomes, and how much lighter white is
const CONTRAST = 1.3; // exponent of a strength; above 1 it keeps weak attention from veiling the picture
const HIGHLIGHT = 0.7; // how far a light spot of the picture turns a colour to white
const PALETTE_GREY = 0.2; // of the picture under a perceptual palette
const [MIN_LINE, LINES_A_SIDE] = [0.6, 260]; // an outline's width: pixels at least, and its part of the longer side
const MAX_SIDE = 1024; // pixels that are drawn; the browser enlarges them

/** A canvas of h x w pixels: `colourAt` gives [red, green, blue, alpha from 0 to 1] of a strength from 0 to 1. */
function strengthCanvas(map, colourAt) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: map.w, height: map.h });
  const pixels = new ImageData(map.w, map.h);
  map.values.forEach((value, i) => {
    const [red, green, blue, alpha] = colourAt(value);
    pixels.data.set([red, green, blue, 255 * alpha], 4 * i);
  });
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}

// What follows runs for every pixel, so that it makes no arrays: a colour goes into one that is used again and again.

const tinted = (ink, grey) => (grey < 0.5 ? ink * (0.5 + grey) : ink + (1 - ink) * (grey - 0.5) * HIGHLIGHT);

/** The subjects' colours, each where it attends, lighter and darker as the picture is. */
function inkOf(layers, threshold) {
  const inks = layers.map(({ colour }) => rgbOf(colour).map((value) => value / 255));
  const strengths = layers.map(({ scaled }) => scaled.values);
  const colour = [0, 0, 0, 0];
  return (at, grey) => {
    let [total, most, red, green, blue] = [0, 0, 0, 0, 0];
    for (let i = 0; i < inks.length; i += 1) {
      const strength = strengths[i][at];
      if (strength < threshold || strength === 0) continue;
      const shown = Math.pow(strength, CONTRAST);
      const ink = inks[i];
      total += shown;
      most = Math.max(most, shown);
      red += shown * ink[0];
      green += shown * ink[1];
      blue += shown * ink[2];
    }
    const share = total > 0 ? 1 / total : 0;
    colour[0] = tinted(red * share, grey);
    colour[1] = tinted(green * share, grey);
    colour[2] = tinted(blue * share, grey);
    colour[3] = most;
    return colour;
  };
}

/** The strongest subject's strength in a perceptual palette. */
function paletteOf(layers, { palette, threshold }) {
  return (at, grey) => {
    const strongest = Math.max(...layers.map(({ scaled }) => scaled.values[at]));
    const colour = paletteColour(palette, strongest).map((value) => (value / 255) * (1 - PALETTE_GREY) + grey * PALETTE_GREY);
    return [...colour, strongest >= threshold ? 1 : 0];
  };
}

/** Where outlines run: at the threshold, or at half the range where there is none. */
const outlineLevel = (style) => style.threshold || 0.5;

/** How fast values change along a row or column at a place of `count`, whose neighbours are `stride` apart. */
function slopeAt(values, at, position, count, stride) {
  const before = position > 0 ? at - stride : at;
  const after = position < count - 1 ? at + stride : at;
  return (values[after] - values[before]) / ((after - before) / stride);
}

/** How far a pixel is from the place where the strength is `level`, to first order. */
function distanceTo(level, { h, w, values }, at) {
  const row = Math.floor(at / w);
  const down = slopeAt(values, at, row, h, w);
  const across = slopeAt(values, at, at - row * w, w, 1);
  return Math.abs(values[at] - level) / Math.max(Math.sqrt(down * down + across * across), 1e-6);
}

function drawOutline(data, layer, level) {
  const { h, w, values } = layer.scaled;
  if (Math.min(h, w) < 2) return;
  const width = Math.max(MIN_LINE, Math.max(h, w) / LINES_A_SIDE);
  const ink = rgbOf(layer.colour);
  for (let at = 0; at < values.length; at += 1) {
    const distance = distanceTo(level, layer.scaled, at);
    if (distance > 1.2 * width + 0.5) continue;
    const cover = (thickness) => clamp((thickness * width) / 2 + 0.5 - distance);
    for (let channel = 0; channel < 3; channel += 1) {
      const light = data[3 * at + channel] + 0.9 * cover(2.4) * (1 - data[3 * at + channel]);
      data[3 * at + channel] = light + cover(1.4) * (ink[channel] / 255 - light);
    }
  }
}

/** A map's strengths for every pixel; over the outermost half cell they go straight on, or outlines would end in stubs. */
function strengthsOf(map, h, w) {
  const { values } = resized(scaledMap(map), h, w, true);
  return { h, w, values: values.map((value) => clamp(value)) };
}

/** Draw layers over a picture's pixels (red, green, blue, alpha from 0 to 255) of w x h, in place. */
function overlayPixels(pixels, w, h, layers, style) {
  const prepared = layers.map((layer) => ({ ...layer, scaled: strengthsOf(layer.map, h, w) }));
  const colourAt = style.palette === "subject" ? inkOf(prepared, style.threshold) : paletteOf(prepared, style);
  const data = new Float32Array(3 * w * h);
  for (let at = 0; at < w * h; at += 1) {
    const grey = (pixels[4 * at] * LUMA[0] + pixels[4 * at + 1] * LUMA[1] + pixels[4 * at + 2] * LUMA[2]) / 255;
    const ground = GROUND_DARK + GROUND_RANGE * grey;
    const shown = colourAt(at, grey);
    for (let channel = 0; channel < 3; channel += 1) {
      const own = pixels[4 * at + channel] / 255;
      const heat = ground + shown[3] * (shown[channel] - ground);
      data[3 * at + channel] = own + style.opacity * (heat - own);
    }
  }
  if (style.outline) for (const layer of prepared) drawOutline(data, layer, outlineLevel(style));
  for (let at = 0; at < w * h; at += 1) {
    for (let channel = 0; channel < 3; channel += 1) pixels[4 * at + channel] = 255 * data[3 * at + channel];
    pixels[4 * at + 3] = 255;
  }
  return pixels;
}

/** Draw a picture with layers over it on a canvas of some size; without layers the canvas is empty. */
function paintOverlay(canvas, picture, layers, style) {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (!layers.length || !picture.naturalWidth) return;
  Object.assign(context, { imageSmoothingEnabled: true, imageSmoothingQuality: "high" });
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  const shown = context.getImageData(0, 0, canvas.width, canvas.height);
  overlayPixels(shown.data, canvas.width, canvas.height, layers, style);
  context.putImageData(shown, 0, 0);
}

/** Give a canvas as many pixels as it has on the screen, at most so many a side, in the shape of its picture. */
function fitCanvas(canvas, picture, most = MAX_SIDE) {
  const shape = picture.naturalHeight / (picture.naturalWidth || 1);
  const wanted = picture.clientWidth * (window.devicePixelRatio || 1);
  canvas.width = Math.max(1, Math.round(Math.min(wanted, most / Math.max(1, shape))));
  canvas.height = Math.max(1, Math.round(canvas.width * shape));
}
