// Keeps the keys of the history in the tab and in the browser.
(keys) => {
  try {
    sessionStorage.setItem(KEY, keys.tab);
    localStorage.setItem(KEY, keys.browser);
  } catch {
    // storage is switched off: a reload begins anew
  }
  return [];
}
