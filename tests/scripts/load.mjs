// Loads scripts of the page into a context of their own, as Gradio puts them into one function.

import { readFileSync } from "node:fs";
import { createContext, runInContext } from "node:vm";

const DEMO = new URL("../../demo/", import.meta.url);

/** The named top-level names of scripts, "viewer/heatmap" for demo/viewer/heatmap.js, that are loaded after dom.js. */
export function load(scripts, names, globals = {}) {
  const context = createContext({ atob, Float32Array, Float64Array, Int32Array, Uint8Array, Uint8ClampedArray, Map, ...globals });
  const sources = ["web/dom", ...scripts].map((name) => readFileSync(new URL(`${name}.js`, DEMO), "utf8"));
  return runInContext(`${sources.join("\n")}\n({ ${names.join(", ")} })`, context);
}

/** A map out of rows of numbers. */
export function mapOfRows(rows) {
  return { h: rows.length, w: rows[0].length, values: Float32Array.from(rows.flat()) };
}

/** A map's values as rows of plain numbers, rounded to four decimals. */
export function rowsOf({ h, w, values }) {
  const round = (value) => Math.round(1e4 * value) / 1e4;
  return Array.from({ length: h }, (_, row) => Array.from(values.slice(row * w, (row + 1) * w), round));
}
