// What the browser keeps of the fields: words and numbers for good, a tab's own, and its photos, as long as it is open.
// A prompt that was typed before this came stays.
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
    if (document.querySelector("#prompt textarea")?.value) delete kept.prompt;
    return [kept];
  } catch {
    return [{}]; // storage is switched off
  }
}
