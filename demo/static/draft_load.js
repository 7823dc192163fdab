// What the browser keeps of the fields: words and numbers for good, photos as long as the tab is open.
() => {
  const read = (storage) => {
    try {
      return JSON.parse(storage.getItem("mmdiff-studio")) ?? {};
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
