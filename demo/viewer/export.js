// What a person takes along: files, and the code that makes the picture again.

const PATIENCE = 60_000; // after which a button works again though no file came

function saveOverlay() {
  const picture = find(".picture");
  const size = { width: picture.naturalWidth, height: picture.naturalHeight };
  const [sheet, layers] = [make("canvas", size), make("canvas", size)];
  paintOverlay(layers, visibleLayers(shot()), look());
  sheet.getContext("2d").drawImage(picture, 0, 0);
  sheet.getContext("2d").drawImage(layers, 0, 0);
  saveAs(sheet.toDataURL("image/png"), shot().file.replace(/\.png$/, "-heatmap.png"));
}

/** Ask the server for a file; the button rests until it comes. */
function order(button, event, wish) {
  const ready = () => {
    button.disabled = false;
    button.removeAttribute("aria-busy");
    document.removeEventListener("mmdiff-download", ready);
    clearTimeout(patience);
  };
  const patience = setTimeout(ready, PATIENCE);
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  find(".announce").textContent = t("file_made");
  document.addEventListener("mmdiff-download", ready);
  trigger(event, { name: shot().name, stream: kindOf(shot()), ...wish });
}

async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = make("textarea", { class: "announce" }); // pages without a secure connection have no clipboard
  element.append(area);
  area.value = text;
  area.select();
  document.execCommand("copy");
  area.remove();
}

async function copyCode(button) {
  await copyText(shot()[button.dataset.copy]);
  const label = button.textContent;
  button.style.minWidth = `${button.offsetWidth}px`; // so that its neighbours stay where they are
  button.textContent = t("copied");
  find(".announce").textContent = t("copied_help");
  setTimeout(() => (button.textContent = label), 1600);
}

function drawKeep(shown) {
  find(".keep").hidden = isLive();
  const facts = shown.facts ? [phraseText(shown.facts)] : [];
  find(".facts").textContent = [...(shown.labels ?? []).map(labelText), ...facts].join(" · ");
  if (isLive()) return;
  Object.assign(find(".save"), { href: sourceOf(shown.image), download: shown.file });
}
