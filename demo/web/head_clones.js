// Gradio copies every property of a component whenever the state of any event changes: tens of thousands of calls of
// structuredClone per picture, nearly all of them with a number, a text or a function. What would come back unchanged is
// given back at once, and what cannot be cloned is refused with one ready-made error; all else is the browser's own.
{
  const browsers = window.structuredClone;
  const refusal = new DOMException("A function could not be cloned.", "DataCloneError");
  const unchanged = new Set(["undefined", "boolean", "number", "string", "bigint"]);
  window.structuredClone = (value, ...options) => {
    if (value === null || unchanged.has(typeof value)) return value;
    if (typeof value === "function") throw refusal;
    return browsers(value, ...options);
  };
}
