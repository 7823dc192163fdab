// A file that the server made on demand: saved as soon as it comes. props.value is {file, asked}; `asked` is another
// word for every order, since the same file may be ordered twice.
watch("value", () => {
  const file = props.value?.file;
  if (!file?.url) return;
  saveAs(file.url, file.orig_name);
  document.dispatchEvent(new CustomEvent("mmdiff-parcel"));
});
