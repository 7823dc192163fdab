// Unlocks the fields; see browser_draft_load.js.
() => {
  const fields = document.querySelector(AREA);
  if (fields) fields.inert = false;
}
