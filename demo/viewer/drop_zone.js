// A saved picture that is dropped anywhere but on a drop area goes to "Open a saved picture"; so does any other file,
// about which it is said there that it is none.

const takesFiles = (target) => Boolean(target.closest?.(".photos, .block:has(input[type=file]), [contenteditable]"));
const bringsFiles = (event) => event.dataTransfer?.types.includes("Files");

document.addEventListener("dragover", (event) => {
  if (bringsFiles(event) && !takesFiles(event.target)) event.preventDefault();
});
document.addEventListener("drop", (event) => {
  if (!bringsFiles(event) || takesFiles(event.target)) return;
  event.preventDefault(); // else the browser leaves the page for the picture
  const opener = document.querySelector("#open-picture")?.previousElementSibling; // Gradio's input of the button
  const files = [...event.dataTransfer.files];
  if (!opener?.matches("input[type=file]") || !files.length) return;
  const carried = new DataTransfer();
  carried.items.add(files.find(({ type }) => type === "image/png") ?? files[0]);
  opener.files = carried.files;
  opener.dispatchEvent(new Event("change", { bubbles: true }));
});
