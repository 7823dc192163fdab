// What the browser keeps of the fields: words and numbers for good, a tab's own, and its photos, as long as it is open.
// Until they are in the fields nobody can type there, since that would be written over.
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
