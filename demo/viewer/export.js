// What can be saved: files, and the code that makes the picture again.

const FILE_TIMEOUT_MS = 60_000; // after which a button works again although no file came
const NOTE_MS = 12_000; // for which a note stands in place of the picture's facts
const FACTORS = [1, 2, 4];
const MAX_SAVED_SIDE = 4096; // pixels

const factorNow = () => Number(find(".factors").value || 1);

/** Offer the picture's own size and larger ones. */
function drawFactors() {
  const { naturalWidth: w, naturalHeight: h } = find(".picture");
  const offered = FACTORS.filter((factor) => factor === 1 || factor * Math.max(w, h) <= MAX_SAVED_SIDE);
  const chosen = offered.includes(factorNow()) ? factorNow() : 1;
  const sizes = offered.map((factor) => [String(factor), `${factor * w} × ${factor * h}${factor > 1 ? ` (×${factor})` : ""}`]);
  if (find(".factors").textContent !== sizes.map(([, text]) => text).join("")) fillMenu(".factors", sizes, String(chosen));
}

/** Save what `paint` draws on a canvas of the chosen size, with the settings of the picture inside. */
async function saveDrawn(name, paint, said = []) {
  const { naturalWidth: w, naturalHeight: h } = find(".picture");
  const factor = factorNow();
  const canvas = make("canvas", { width: factor * w, height: factor * h });
  paint(canvas);
  const drawn = await new Promise((done) => canvas.toBlob(done, "image/png"));
  const [bytes, original] = await Promise.all([drawn.arrayBuffer(), originalBytes()]);
  const notes = [...said, ...(factor > 1 ? [textChunk("Upscaled", `${factor}x`)] : [])];
  const file = withTexts(new Uint8Array(bytes), original ?? new Uint8Array(bytes), notes);
  if (!original) sayBelow(t("saved_bare"));
  const url = URL.createObjectURL(new Blob([file], { type: "image/png" }));
  saveAs(url, name);
  setTimeout(() => URL.revokeObjectURL(url), FILE_TIMEOUT_MS);
}

/** The picture's file, which holds its settings; null if it is not to be had any more. */
async function originalBytes() {
  const file = await fetch(sourceOf(frameNow().image)).catch(() => null);
  return file?.ok ? new Uint8Array(await file.arrayBuffer()) : null;
}

/** The file's name with what was done to the picture. */
function savedName(end) {
  const size = factorNow() > 1 ? `-x${factorNow()}` : "";
  return frameNow().file.replace(/(\.png)?$/, `${end}${size}.png`);
}

function saveOverlay() {
  const paint = (canvas) => {
    paintOverlay(canvas, find(".picture"), visibleLayers(frameNow()), styleNow());
    if (!visibleLayers(frameNow()).length) paintPicture(canvas);
  };
  return saveDrawn(savedName("-heatmap"), paint, [textChunk("Heatmap", "drawn over the picture")]);
}

function paintPicture(canvas) {
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(find(".picture"), 0, 0, canvas.width, canvas.height);
}

/** In its own size the picture is a link to the file; an enlarged one is drawn here. */
function saveEnlarged(event) {
  if (factorNow() === 1) return;
  event.preventDefault();
  saveDrawn(savedName(""), paintPicture);
}
find(".save").addEventListener("click", saveEnlarged);

let noteTimer = 0;

/** Say a line below the buttons, for a while; what waits for a file shows that it does. */
function sayBelow(text, busy = false) {
  clearTimeout(noteTimer);
  if (text && !busy) noteTimer = setTimeout(sayBelow, NOTE_MS, "");
  find(".copy-note").textContent = text;
  find(".copy-note").classList.toggle("busy", busy);
}

/** Ask the server for a file; the button is disabled until it arrives, and a line says so, as the menu has closed. */
function order(button, event, details) {
  const ready = () => {
    button.disabled = false;
    button.removeAttribute("aria-busy");
    if (find(".copy-note").matches(".busy")) sayBelow("");
    document.removeEventListener("mmdiff-download", ready);
    clearTimeout(timeout);
  };
  const timeout = setTimeout(ready, FILE_TIMEOUT_MS);
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  find(".announce").textContent = t("file_made");
  sayBelow(t("file_made"), true);
  document.addEventListener("mmdiff-download", ready);
  trigger(event, { name: frameNow().name, kind: kindOf(frameNow()), scale: view.scale, style: styleNow(), locale: t("locale"), ...details });
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

const copyCode = (button) => copied(button, frameNow()[button.dataset.copy], t("copied_help"));

/** Copy the address of this page with what fills in its fields. */
function copyLink(button) {
  const { query, lacking, start } = frameNow().link;
  const said = lacking.length ? t("link_copied_but", { names: quotedList(lacking) }) : t("link_copied");
  const whole = start ? `${said} ${t("link_without_start")}` : said;
  return copied(button, location.origin + location.pathname + query, whole);
}

/** Copy a text, and say so on the button and in the line below it. */
async function copied(button, text, said) {
  await copyText(text);
  const label = button.textContent;
  button.style.minWidth = `${button.offsetWidth}px`; // so that its neighbours do not move
  button.textContent = t("copied");
  find(".announce").textContent = said;
  sayBelow(said);
  setTimeout(() => (button.textContent = label), 1600);
}

const moreMenu = find(".more");

function closeMore(refocus) {
  moreMenu.open = false;
  if (refocus) moreMenu.querySelector("summary").focus({ preventScroll: true });
}

// The menu goes once something in it is chosen, with a click outside, and with Esc.
document.addEventListener("click", ({ target }) => {
  const within = moreMenu.contains(target);
  if (moreMenu.open && (!within || target.closest(".more-menu .tool"))) closeMore(within);
});
document.addEventListener("keydown", ({ key }) => {
  if (key === "Escape" && moreMenu.open) closeMore(true);
});

function drawExport(frame) {
  find(".button-row").hidden = isLive();
  sayBelow("");
  const facts = frame.facts ? [phraseText(frame.facts)] : [];
  find(".facts").textContent = [...(frame.labels ?? []).filter(([key]) => key !== "seed").map(labelText), ...facts].join(" · ");
  if (isLive()) return;
  for (const part of findAll(".made")) part.hidden = Boolean(frame.foreign);
  find(".more").hidden = Boolean(frame.foreign);
  find(".copy-link").hidden = !frame.link;
  for (const button of findAll(".animate")) button.hidden ||= !frame.strip && !frame.pending; // it has no steps to play
  drawFactors();
  Object.assign(find(".save"), { href: sourceOf(frame.image), download: frame.file });
}
