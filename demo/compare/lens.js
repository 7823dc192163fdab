// Two pictures on top of each other with a slider between them.

const lens = { left: null, right: null, at: 50 }; // names of cells; `at` per cent from the left

const sideOf = (side) => find(`.lens-side[data-side="${side}"]`);

/** Choose which two are laid over each other: the chosen ones, else the first two, however many come at once. */
function chooseSides(cells) {
  const there = (name) => cells.some((cell) => cell.name === name);
  if (!there(lens.left)) lens.left = cells[0]?.name ?? null;
  if (!there(lens.right) || lens.right === lens.left) lens.right = cells.find(({ name }) => name !== lens.left)?.name;
}

function drawLens(cells) {
  chooseSides(cells);
  find(".lens").hidden = cells.length < 2;
  if (find(".lens").hidden) return;
  for (const side of ["left", "right"]) {
    const select = find(`select[data-side="${side}"]`);
    setOptions(select, cells);
    select.value = lens[side];
    const cell = cells.find(({ name }) => name === lens[side]);
    showCell(sideOf(side), cell, `${t(side)}: ${labelsText(cell.labels)}`);
    find(`.lens-name[data-of="${side}"]`).textContent = labelsText(cell.labels);
  }
  moveDivider();
}

/** Set the options where they change: new ones would close an open list. */
function setOptions(select, cells) {
  if (cells.length === select.options.length && cells.every(({ name }, i) => name === select.options[i].value)) return;
  select.replaceChildren(...cells.map((cell) => make("option", { value: cell.name }, labelsText(cell.labels))));
}

function moveDivider() {
  const slider = find(".lens-slider");
  lens.at = Number(slider.value);
  find(".lens-frame").style.setProperty("--at", `${lens.at}%`);
  slider.setAttribute("aria-valuetext", percent(lens.at / 100));
}

find(".lens-slider").addEventListener("input", moveDivider);
for (const select of findAll(".lens select")) {
  select.addEventListener("change", () => {
    lens[select.dataset.side] = select.value;
    draw();
  });
}
