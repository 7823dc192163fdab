// Colours, and perceptual colour maps: equally spaced colours of viridis and inferno, with straight lines between them.

/** #RRGGBB as three numbers from 0 to 255. */
const rgbOf = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

const PALETTES = {
  viridis:
    "440154 48186a 472d7b 424086 3b528b 33638d 2c728e 26828e 21918c 1fa088 28ae80 3fbc73 5ec962 84d44b addc30 d8e219 fde725",
  inferno:
    "000004 0b0724 210c4a 3d0965 57106e 71196e 8a226a a32c61 bc3754 d24644 e45a31 f1731d f98e09 fcac11 f9cb35 f2ea69 fcffa4",
};

const paletteTables = Object.fromEntries(
  Object.entries(PALETTES).map(([name, colours]) => [name, colours.split(" ").map((hex) => rgbOf(`#${hex}`))]),
);

/** The colour [red, green, blue] of a strength from 0 to 1. */
function paletteColour(name, strength) {
  const table = paletteTables[name];
  const at = clamp(strength) * (table.length - 1);
  const low = Math.min(table.length - 2, Math.floor(at));
  return table[low].map((value, channel) => value + (at - low) * (table[low + 1][channel] - value));
}

/** A palette, or a subject's colour from transparent to full, as a CSS background. */
function paletteGradient(name, colour) {
  if (name === "subject") return `linear-gradient(to right, transparent, ${colour})`;
  return `linear-gradient(to right, ${PALETTES[name].split(" ").map((hex) => `#${hex}`).join(", ")})`;
}
