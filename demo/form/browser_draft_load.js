// Fetches the draft of the fields: words and numbers that are kept for good, and those of the tab with its photos, which
// go first; a link to the page goes before both. Locks the fields until the draft is in them, since it would overwrite what is typed meanwhile.
() => {
  const read = (storage) => {
    try {
      return JSON.parse(storage.getItem(KEY)) ?? {};
    } catch {
      return {};
    }
  };
  const withoutLink = () => {
    const others = [...new URLSearchParams(location.search)].filter(([name]) => name.startsWith("__")); // Gradio's
    return `${location.pathname}?${new URLSearchParams(others)}`;
  };
  try {
    const kept = { ...read(localStorage), ...read(sessionStorage) };
    const fields = document.querySelector(AREA);
    const link = OF_LINKS ? location.search : "";
    if (link.includes("prompt=")) history.replaceState(null, "", withoutLink()); // a reload keeps what is typed since
    if (fields) fields.inert = Object.keys(kept).length > 0 || link.length > 1;
    return [{ ...kept, link }];
  } catch {
    return [{ link: OF_LINKS ? location.search : "" }]; // storage is switched off
  }
}
