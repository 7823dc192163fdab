// A file that the server made on demand: saved as soon as it comes.
watch("value", () => {
  const file = props.value;
  if (!file?.url) return;
  const link = document.createElement("a");
  Object.assign(link, { href: file.url, download: file.orig_name });
  link.click();
  document.dispatchEvent(new CustomEvent("mmdiff-parcel"));
});
