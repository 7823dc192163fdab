// The language that was chosen on the page is kept for the next visit. Gradio asks the browser for its language, so the
// browser is made to name this one.

const LANGUAGE_KEY = "mmdiff-language";

/** The language that was kept, or null; a browser may refuse to tell. */
function keptLanguage() {
  try {
    return localStorage.getItem(LANGUAGE_KEY);
  } catch {
    return null;
  }
}

if (keptLanguage()) {
  const kept = keptLanguage();
  Object.defineProperty(navigator, "language", { get: () => kept });
  Object.defineProperty(navigator, "languages", { get: () => [kept] });
}
