// The fields are the person's again; see draft_load.js.
() => {
  const fields = document.querySelector(AREA);
  if (fields) fields.inert = false;
}
