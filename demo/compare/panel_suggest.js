// Values for the axis that was just chosen: as somebody typed them for it, else the suggestion; the field is hidden where
// there is nothing to type. In the browser alone: whoever passes many axes with the arrow keys is not made to wait.
(axis) => {
  const suggestion = SUGGESTIONS[axis] ?? "";
  const value = window.mmdiffTypedValues?.FIELD?.[axis] ?? suggestion;
  return [{ __type__: "update", value, visible: suggestion !== "" }];
}
