// Every photo of a card with its faces as buttons. Gradio gives `element`, `props`, `watch` and `trigger`.
// props.value is {photos: [{src, faces: [[left, top, right, bottom]], chosen, weight}], error}; a click triggers
// choose {photo, face}, a weight weigh {photo, weight}; photos count from 0, faces from 1, from the left.

function faceButton(photo, face, [left, top, right, bottom], chosen) {
  const label = t("face_of", { face, photo: photo + 1 });
  const button = make("button", { type: "button", class: "face", title: label, "aria-label": label, "aria-pressed": face === chosen });
  Object.assign(button.style, {
    left: cssPercent(left),
    top: cssPercent(top),
    width: cssPercent(right - left),
    height: cssPercent(bottom - top),
  });
  button.addEventListener("click", () => {
    for (const other of button.parentElement.querySelectorAll(".face")) {
      other.setAttribute("aria-pressed", String(other === button));
    }
    trigger("choose", { photo, face });
  });
  return button;
}

function weightField(photo, weight) {
  const input = make("input", { type: "number", min: 0, max: 10, step: 0.1, value: weight });
  input.addEventListener("change", () => {
    if (!input.checkValidity() || input.value === "") input.value = weight;
    else trigger("weigh", { photo, weight: Number(input.value) });
  });
  return make("label", { class: "face-weight" }, t("face_weight"), input);
}

function figureOf(shown, photo, count) {
  const buttons = shown.faces.map((box, index) => faceButton(photo, index + 1, box, shown.chosen));
  const figure = make("figure", { class: "face-photo" }, make("div", { class: "photo-box" }, make("img", { src: shown.src, alt: "" }), ...buttons));
  if (!shown.faces.length) figure.append(make("p", { class: "field-error wrong" }, t("no_face")));
  else if (count > 1) figure.append(weightField(photo, shown.weight));
  return figure;
}

function draw() {
  const { photos, error } = props.value;
  const picker = find(".face-picker");
  picker.replaceChildren();
  if (error) picker.append(make("p", { class: "field-error wrong" }, error));
  if (photos.some(({ faces }) => faces.length > 1)) picker.append(make("p", { class: "hint" }, t("choose_face")));
  picker.append(...photos.map((photo, index) => figureOf(photo, index, photos.length)));
}

watch("value", draw);
draw();
