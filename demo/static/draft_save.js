// Keeps the fields in the browser; of photos, in the tab, only where they are on the server.
(...values) => {
  const names = NAMES;
  const [words, photos] = [{}, {}];
  names.forEach((name, i) => {
    if (name.startsWith("photos-")) photos[name] = (values[i] ?? []).map((entry) => entry.image.path);
    else words[name] = values[i];
  });
  try {
    localStorage.setItem("mmdiff-studio", JSON.stringify(words));
    sessionStorage.setItem("mmdiff-studio", JSON.stringify(photos));
  } catch {
    // storage is full or switched off: the page works without it
  }
  return [];
}
