// Keeps the values of an axis as they were typed, for when it is chosen again; see panel_suggest.js.
(...values) => {
  FIELDS.forEach((field, i) => {
    const own = ((window.mmdiffTypedValues ??= {})[field] ??= {});
    own[values[2 * i]] = values[2 * i + 1];
  });
  return [];
}
