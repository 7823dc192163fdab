// A saved picture that is dropped outside of a drop area goes to "Open a saved picture"; so does any other file, which is
// refused there with a message.

const takesFiles = (target) => Boolean(target.closest?.(".photos, .block:has(input[type=file]), [contenteditable]"));
const bringsFiles = (event) => event.dataTransfer?.types.includes("Files");

document.addEventListener("dragover", (event) => {
  if (bringsFiles(event) && !takesFiles(event.target)) event.preventDefault();
});
document.addEventListener("drop", (event) => {
  if (!bringsFiles(event) || takesFiles(event.target)) return;
  event.preventDefault(); // else the browser leaves the page for the picture
  const input = document.querySelector("#open-picture")?.previousElementSibling; // the button's file input in Gradio
  const files = [...event.dataTransfer.files];
  if (!input?.matches("input[type=file]") || !files.length) return;
  const transfer = new DataTransfer();
  transfer.items.add(files.find(({ type }) => type === "image/png") ?? files[0]);
  input.files = transfer.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
});
