// Keeps the fields in the browser, and in the tab, which goes first; of photos, in the tab only, their paths on the server.
(...values) => {
  const names = NAMES;
  const [words, photos] = [{ model: MODEL }, {}];
  names.forEach((name, i) => {
    if (name.startsWith("photos-")) photos[name] = (values[i] ?? []).map((entry) => entry.image.path);
    else words[name] = values[i];
  });
  try {
    localStorage.setItem(KEY, JSON.stringify(words));
    sessionStorage.setItem(KEY, JSON.stringify({ ...words, ...photos }));
  } catch {
    // storage is full or switched off: the page works without it
  }
  return [];
}
