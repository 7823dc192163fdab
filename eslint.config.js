// The page's scripts are plain browser scripts. Gradio puts those of a component together into one function, so that each
// sees the top-level names of the shared scripts (web/, viewer/) and of its own folder.

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

import js from "@eslint/js";
import globals from "globals";

const SHARED_FOLDERS = ["demo/web", "demo/viewer"];
const GRADIO = ["element", "props", "trigger", "watch"]; // what a component's function is given
const PLACEHOLDERS = ["AREA", "FIELDS", "KEY", "MODEL", "NAMES", "OF_LINKS", "SUGGESTIONS"]; // what Python fills in

const readonly = (names) => Object.fromEntries(names.map((name) => [name, "readonly"]));
const scriptsOf = (folder) => readdirSync(folder).filter((name) => name.endsWith(".js")).map((name) => join(folder, name));

/** The names that a script declares at its top level. */
function declared(file) {
  const text = readFileSync(file, "utf8");
  return [...text.matchAll(/^(?:const|let|function|async function) (\w+)/gm)].map(([, name]) => name);
}

const folders = readdirSync("demo", { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => `demo/${name}`);
const scripts = folders.flatMap(scriptsOf);

const configs = scripts.map((file) => {
  const others = [...new Set([...SHARED_FOLDERS, dirname(file)])].flatMap(scriptsOf).filter((other) => other !== file);
  const own = declared(file);
  const names = others.flatMap(declared).filter((name) => !own.includes(name));
  return {
    files: [file],
    languageOptions: {
      sourceType: "script",
      globals: { ...globals.browser, ...readonly([...GRADIO, ...PLACEHOLDERS, ...names]) },
    },
    rules: {
      ...js.configs.recommended.rules,
      "no-unused-vars": ["error", { vars: "local" }],
      "no-var": "error",
      "no-redeclare": ["error", { builtinGlobals: false }], // dom.js has a `find` of its own
      "prefer-const": "error",
      eqeqeq: "error",
    },
  };
});

export default [
  { ignores: ["**/.venv/**", "**/node_modules/**"] },
  ...configs,
  { files: ["tests/scripts/**/*.mjs", "eslint.config.js"], ...js.configs.recommended, languageOptions: { globals: globals.node } },
];
