// The camera, which Gradio puts in the place of a card's photos, can be left by a button and by Escape, and the photos
// are back then. Gradio gives `element`, what the model sees of the card's photos, and `trigger`.

const card = element.closest(".card");
const photos = () => card.querySelector(".photos"); // which may come later than this script, and again
const camera = () => photos()?.querySelector("[data-testid=webcam-video]");

function leaveCamera() {
  for (const track of camera().srcObject?.getTracks() ?? []) track.stop();
  photos().querySelector(".source-selection button").click(); // files instead; they would replace the photos, so that
  trigger("leave", {}); // Gradio is given these once more, which makes it show them
}

const leave = make("button", { type: "button", class: "leave-camera" }, "×");
leave.addEventListener("click", leaveCamera);

function offerToLeave() {
  if (!camera()) return leave.remove();
  leave.title = t("leave_camera");
  leave.setAttribute("aria-label", t("leave_camera"));
  if (!leave.isConnected) photos().append(leave);
}

new MutationObserver(offerToLeave).observe(card, { childList: true, subtree: true });

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !camera()?.checkVisibility({ opacityProperty: false })) return;
  if (document.querySelector("dialog[open]") || event.defaultPrevented) return;
  const own = photos().contains(document.activeElement) || document.activeElement === document.body;
  if (own) leaveCamera();
});
