// Photos on their way into a card: the file dialog offers those that the server takes, no file is refused for its name,
// and one that is too large is left out and named, so that the others get through. Gradio would refuse all of them.

const OFFERED = "image/*,.heic,.heif,.hif,.avif,.jfif,.pjpeg,.pjp,.mpo,.tga,.tif,.tiff";

const photosAt = (target) => target.closest?.(".photos");
const fileInputOf = (block) => block.querySelector("input[type=file]");

document.addEventListener(
  "click",
  ({ target }) => {
    for (const input of photosAt(target)?.querySelectorAll("input[type=file]") ?? []) input.accept = OFFERED;
  },
  true,
);

/** Name the files that are left out, until the next ones come. */
function tellTooLarge(block, files, most) {
  block.parentElement.querySelector(".too-large")?.remove();
  if (!files.length) return;
  const names = files.map(({ name }) => `“${name}”`).join(", ");
  const values = { names, most: Math.floor(most / 2 ** 20) };
  block.after(make("p", { class: "field-error note too-large", role: "status" }, t("photo_too_large", values)));
}

/** A file as Gradio lets it through, which goes by the type that the browser guesses from the name. */
const asPhoto = (file) => (file.type.startsWith("image/") ? file : new File([file], file.name, { type: "image/unknown" }));

/** The files that may go to the server, as a list that an input takes. */
function admitted(block, files) {
  const most = window.gradio_config?.max_file_size ?? Infinity;
  const [small, large] = [[], []];
  for (const file of files) (file.size > most ? large : small).push(file);
  tellTooLarge(block, large, most);
  const transfer = new DataTransfer();
  for (const file of small) transfer.items.add(asPhoto(file));
  return transfer.files;
}

function hold(event) {
  event.preventDefault();
  event.stopImmediatePropagation();
}

document.addEventListener(
  "change",
  (event) => {
    const block = event.target.matches?.("input[type=file]") && photosAt(event.target);
    if (!block) return;
    const files = admitted(block, event.target.files);
    if (files.length) event.target.files = files; // Gradio reads it next
    else hold(event);
  },
  true,
);

document.addEventListener(
  "drop",
  (event) => {
    const block = event.dataTransfer?.files.length && photosAt(event.target);
    const input = block && fileInputOf(block);
    if (!input) return;
    hold(event);
    event.target.dispatchEvent(new DragEvent("dragleave", { bubbles: true })); // Gradio's frame goes with it
    input.files = event.dataTransfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  },
  true,
);
