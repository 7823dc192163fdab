// What the browser keeps of the fields: words and numbers for good, a tab's own, and its photos, as long as it is open.
() => {
  const read = (storage) => {
    try {
      return JSON.parse(storage.getItem(KEY)) ?? {};
    } catch {
      return {};
    }
  };
  try {
    return [{ ...read(localStorage), ...read(sessionStorage) }];
  } catch {
    return [{}]; // storage is switched off
  }
}
