// The whole grid as one image with its labels.

const URL_LIFETIME_MS = 60_000;
const FILE = { cell: 256, gap: 8, head: 34, side: 150 }; // pixels

/** The size of the file, and where the picture of a place begins. */
function fileLayout({ columns, rows, down }) {
  const { cell, gap, head, side } = FILE;
  const wide = down ? columns.length : Math.min(columns.length, 4);
  const [left, top] = down ? [side, 2 * head] : [gap, gap];
  const line = down ? cell + gap : cell + head;
  const at = (place) => [left + (place % wide) * (cell + gap), top + Math.floor(place / wide) * line];
  const lines = down ? rows.length : Math.ceil(columns.length / wide);
  return { at, width: left + wide * (cell + gap), height: top + lines * line + (down ? 0 : gap) };
}

function writeHeads(context, value, layout) {
  const { cell, head, side } = FILE;
  const write = (text, x, y, width, bold) => {
    context.font = `${bold ? "600 " : ""}16px system-ui, sans-serif`;
    context.fillText(text, x, y, width);
  };
  context.textAlign = "center";
  value.columns.forEach((label, i) => {
    const [x, y] = layout.at(i);
    if (value.down) write(axisValue(label), x + cell / 2, y - 12, cell, false);
    else write(labelText(label), x + cell / 2, y + cell + head - 12, cell, false);
  });
  if (!value.down) return;
  write(t(value.across), side + (layout.width - side) / 2, head - 10, layout.width - side, true);
  write(t(value.down), side / 2, 2 * head - 12, side, true);
  value.rows.forEach((label, i) => write(axisValue(label), side / 2, layout.at(i * value.columns.length)[1] + cell / 2, side, false));
}

/** A record as JSON without letters that a text chunk does not take. */
const asciiJson = (record) => JSON.stringify(record).replace(/[\u0080-\uffff]/g, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** Save a canvas with the settings of the first picture inside, and with what was compared. */
async function saveWithSettings(canvas, { asked, cells }) {
  const first = cells.reduce((one, other) => (other.place < one.place ? other : one));
  const drawn = await new Promise((done) => canvas.toBlob(done, "image/png"));
  const [bytes, original] = await Promise.all([drawn.arrayBuffer(), fetch(sourceOf(first.image)).then((file) => file.arrayBuffer())]);
  const file = withTexts(new Uint8Array(bytes), new Uint8Array(original), [textChunk("mmdiff-compare", asciiJson(asked))]);
  const url = URL.createObjectURL(new Blob([file], { type: "image/png" }));
  saveAs(url, "mm-diff-compare.png");
  setTimeout(() => URL.revokeObjectURL(url), URL_LIFETIME_MS);
}

async function saveGrid() {
  const { value } = props;
  const finished = findAll(".place").filter((place) => !place.querySelector(".cell").disabled);
  await Promise.all(finished.map((place) => place.querySelector("img").decode())); // else some would be missing
  const layout = fileLayout(value);
  const canvas = make("canvas", { width: layout.width, height: layout.height });
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, layout.width, layout.height);
  context.fillStyle = "#1f2430";
  context.imageSmoothingQuality = "high";
  writeHeads(context, value, layout);
  for (const place of finished) {
    const [image, heatmap] = [place.querySelector("img"), place.querySelector("canvas")];
    const scale = FILE.cell / Math.max(image.naturalWidth, image.naturalHeight);
    const box = [...layout.at(Number(place.dataset.place)), image.naturalWidth * scale, image.naturalHeight * scale];
    context.drawImage(image, ...box);
    context.drawImage(heatmap, ...box);
  }
  await saveWithSettings(canvas, value);
}
