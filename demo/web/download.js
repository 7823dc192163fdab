// A file that the server made on demand: saved as soon as it comes. props.value is {file, asked}; `asked` is another
// word for every order, since the same file may be ordered twice.
watch("value", () => {
  const file = props.value?.file;
  if (!file?.url) return;
  const link = document.createElement("a");
  Object.assign(link, { href: file.url, download: file.orig_name });
  link.click();
  document.dispatchEvent(new CustomEvent("mmdiff-parcel"));
});
