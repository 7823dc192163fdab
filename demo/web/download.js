// Saves a file that the server made on demand. props.value is {file, order}, where `order` differs with every order.
watch("value", () => {
  const file = props.value?.file;
  if (!file?.url) return;
  saveAs(file.url, file.orig_name);
  document.dispatchEvent(new CustomEvent("mmdiff-download"));
});
