// Whose face is meant: every photo of a card with its faces as buttons. Gradio gives `element`, `props`, `watch` and
// `trigger`. props.value is {photos: [{src, faces: [[l, t, r, b]], chosen, weight}], trouble}; a click says
// choose {photo, face}, a number weigh {photo, weight}; photos count from 0, faces from 1, from the left.

const spoken = (key) => document.querySelector("#spoken [data-nobody]")?.dataset[key] ?? "";
const made = (tag, properties = {}) => Object.assign(document.createElement(tag), properties);
const percent = (part) => `${(100 * part).toFixed(2)}%`;

function faceButton(photo, face, [left, top, right, bottom], chosen) {
  const label = spoken("faceOf").replace("{face}", face).replace("{photo}", photo + 1);
  const button = made("button", { type: "button", className: "face", title: label });
  button.setAttribute("aria-label", label);
  button.setAttribute("aria-pressed", String(face === chosen));
  Object.assign(button.style, {
    left: percent(left),
    top: percent(top),
    width: percent(right - left),
    height: percent(bottom - top),
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
  const label = made("label", { className: "face-weight", textContent: spoken("faceWeight") });
  const input = made("input", { type: "number", min: 0, max: 10, step: 0.1, value: weight });
  input.addEventListener("change", () => {
    if (!input.checkValidity() || input.value === "") input.value = weight;
    else trigger("weigh", { photo, weight: Number(input.value) });
  });
  label.append(input);
  return label;
}

function figureOf(shown, photo, count) {
  const figure = made("figure", { className: "person" });
  const frame = made("div", { className: "frame" });
  frame.append(made("img", { src: shown.src, alt: "" }));
  frame.append(...shown.faces.map((box, index) => faceButton(photo, index + 1, box, shown.chosen)));
  figure.append(frame);
  if (!shown.faces.length) figure.append(made("p", { className: "fault wrong", textContent: spoken("noFace") }));
  else if (count > 1) figure.append(weightField(photo, shown.weight));
  return figure;
}

function draw() {
  const { photos, trouble } = props.value;
  const ground = element.querySelector(".people");
  ground.replaceChildren();
  if (trouble) ground.append(made("p", { className: "fault wrong", textContent: trouble }));
  if (photos.some(({ faces }) => faces.length > 1)) {
    ground.append(made("p", { className: "hint", textContent: spoken("chooseFace") }));
  }
  ground.append(...photos.map((photo, index) => figureOf(photo, index, photos.length)));
}

watch("value", draw);
draw();
