// Fetches the draft of the fields: words and numbers that are kept for good, and those of the tab with its photos, which
// go first. Locks the fields until the draft is in them, since it would overwrite what is typed meanwhile.
() => {
  const read = (storage) => {
    try {
      return JSON.parse(storage.getItem(KEY)) ?? {};
    } catch {
      return {};
    }
  };
  try {
    const kept = { ...read(localStorage), ...read(sessionStorage) };
    const fields = document.querySelector(AREA);
    if (fields) fields.inert = Object.keys(kept).length > 0;
    return [kept];
  } catch {
    return [{}]; // storage is switched off
  }
}
