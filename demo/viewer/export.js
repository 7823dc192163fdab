// What can be saved: files, and the code that makes the picture again.

const FILE_TIMEOUT_MS = 60_000; // after which a button works again although no file came

function saveOverlay() {
  const picture = find(".picture");
  const size = { width: picture.naturalWidth, height: picture.naturalHeight };
  const [canvas, heatmap] = [make("canvas", size), make("canvas", size)];
  paintOverlay(heatmap, visibleLayers(frameNow()), styleNow());
  canvas.getContext("2d").drawImage(picture, 0, 0);
  canvas.getContext("2d").drawImage(heatmap, 0, 0);
  saveAs(canvas.toDataURL("image/png"), frameNow().file.replace(/\.png$/, "-heatmap.png"));
}

/** Ask the server for a file; the button is disabled until it arrives. */
function order(button, event, details) {
  const ready = () => {
    button.disabled = false;
    button.removeAttribute("aria-busy");
    document.removeEventListener("mmdiff-download", ready);
    clearTimeout(timeout);
  };
  const timeout = setTimeout(ready, FILE_TIMEOUT_MS);
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  find(".announce").textContent = t("file_made");
  document.addEventListener("mmdiff-download", ready);
  trigger(event, { name: frameNow().name, kind: kindOf(frameNow()), ...details });
}

async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = make("textarea", { class: "announce" }); // without a secure connection there is no clipboard
  element.append(area);
  area.value = text;
  area.select();
  document.execCommand("copy");
  area.remove();
}

async function copyCode(button) {
  await copyText(frameNow()[button.dataset.copy]);
  const label = button.textContent;
  button.style.minWidth = `${button.offsetWidth}px`; // so that its neighbours do not move
  button.textContent = t("copied");
  find(".announce").textContent = t("copied_help");
  setTimeout(() => (button.textContent = label), 1600);
}

function drawExport(frame) {
  find(".button-row").hidden = isLive();
  const facts = frame.facts ? [phraseText(frame.facts)] : [];
  find(".facts").textContent = [...(frame.labels ?? []).map(labelText), ...facts].join(" · ");
  if (isLive()) return;
  Object.assign(find(".save"), { href: sourceOf(frame.image), download: frame.file });
}
