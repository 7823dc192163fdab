// The buttons at a card's photos say what they do, in the person's language. The camera, which Gradio puts in the place of
// the photos: a line says why it does not come on, and a button and Escape leave it in every state; the photos are back then.
// Gradio gives `element`, what the model sees of the card's photos, and `trigger`.

const FAULTS = {
  NotAllowedError: "camera_refused",
  SecurityError: "camera_refused",
  NotReadableError: "camera_busy",
  AbortError: "camera_busy",
  NotFoundError: "camera_none",
  OverconstrainedError: "camera_none",
};
const NAMES = {
  "Upload file": "upload_text.click_to_upload",
  "Capture from camera": "common.webcam",
  "Paste from clipboard": "photo_paste",
  "Delete image": "photo_delete",
};

const card = element.closest(".card");
const photos = () => card.querySelector(".photos"); // which may come later than this script, and again
const camera = () => photos()?.querySelector("[data-testid=webcam-video]");
const starter = () => photos()?.querySelector("[title='grant webcam access'] button");
const faultLine = () => card.querySelector(".camera-fault");

let starting = false; // the browser was asked for the camera
let returning = false; // the camera was left just now

/** Say why there is no camera; nothing for no reason. */
function tellFault(key) {
  starting = false;
  faultLine()?.remove();
  if (key) photos().after(make("p", { class: "field-error note camera-fault", role: "status" }, t(key)));
}

function leaveCamera() {
  for (const track of camera().srcObject?.getTracks() ?? []) track.stop();
  photos().querySelector(".source-selection button").click(); // files instead; they would replace the photos, so that
  trigger("leave", {}); // Gradio is given these once more, which makes it show them
  returning = true;
  setTimeout(() => (returning = false), 1000);
}

const leave = make("button", { type: "button", class: "leave-camera" }, "×");
leave.addEventListener("click", leaveCamera);

function refresh() {
  nameButtons();
  nameCuts();
  if (!camera()) {
    if (leave.isConnected) tellFault(null);
    leave.remove();
    return returnFocus();
  }
  leave.title = t("leave_camera");
  leave.setAttribute("aria-label", t("leave_camera"));
  if (!leave.isConnected) photos().append(leave);
  nameStarter();
}

/** To the button that the camera was opened with, each time that Gradio draws it anew. */
function returnFocus() {
  if (!returning || document.activeElement !== document.body) return;
  photos()?.querySelector(`button[aria-label="${t("common.webcam")}"]`)?.focus();
}

/** Gradio names these buttons in English, and to screen readers alone. */
function nameButtons() {
  for (const button of photos()?.querySelectorAll("button[aria-label]") ?? []) {
    const key = NAMES[button.getAttribute("aria-label")];
    if (!key) continue;
    button.title = t(key);
    button.setAttribute("aria-label", t(key));
  }
}

/** And the button that turns the camera on. */
function nameStarter() {
  const words = starter()?.querySelector(".wrap").lastChild;
  if (words && words.data !== t("camera_start")) words.data = t("camera_start");
}

/** The ways into the cut-out dialog. */
function nameCuts() {
  for (const [i, button] of findAll("[data-cut]").entries()) {
    const [label, name] = [button.querySelector("span"), t("cut_photo", { n: i + 1 })];
    if (button.getAttribute("aria-label") === name) continue;
    button.setAttribute("aria-label", name);
    label.textContent = t("cut_out");
  }
}

new MutationObserver(refresh).observe(card, { childList: true, subtree: true });

card.addEventListener(
  "click",
  (event) => {
    if (!starter()?.contains(event.target)) return;
    tellFault(null);
    starting = true;
    if (navigator.mediaDevices?.getUserMedia) return;
    event.stopPropagation(); // Gradio would throw
    tellFault("camera_insecure");
  },
  true,
);

// Gradio does not look at a refusal.
window.addEventListener("unhandledrejection", (event) => {
  const key = FAULTS[event.reason?.name];
  if (!starting || !key || !starter()) return;
  event.preventDefault();
  tellFault(key);
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !camera() || !isVisible(photos())) return;
  if (document.querySelector("dialog[open]") || event.defaultPrevented) return;
  const own = card.contains(document.activeElement) || document.activeElement === document.body;
  if (own) leaveCamera();
});
