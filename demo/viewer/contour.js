// Contour lines by marching squares: pure functions.

// For each of the sixteen cases of corners above the level (1 top left, 2 top right, 4 bottom right, 8 bottom left):
// the pairs of sides that a line connects, 0 top, 1 right, 2 bottom, 3 left.
const CROSSINGS = [
  [], [[3, 0]], [[0, 1]], [[3, 1]], [[1, 2]], [[3, 0], [1, 2]], [[0, 2]], [[3, 2]],
  [[2, 3]], [[2, 0]], [[0, 1], [2, 3]], [[2, 1]], [[1, 3]], [[1, 0]], [[0, 3]], [],
];

/** Line segments [x1, y1, x2, y2] in fractions of the picture where a map's values cross a level. */
function contourLines(map, level) {
  const { h, w, values } = map;
  // A frame of low values closes the lines at the picture's border.
  const at = (row, column) => (row < 0 || column < 0 || row >= h || column >= w ? -1e-3 : values[row * w + column]);
  const lines = [];
  for (let row = -1; row < h; row += 1) {
    for (let column = -1; column < w; column += 1) {
      const corners = [at(row, column), at(row, column + 1), at(row + 1, column + 1), at(row + 1, column)];
      const which = corners.reduce((bits, value, i) => bits + (value >= level ? 1 << i : 0), 0);
      const onSide = (side) => crossing(corners, side, level, row, column).map((value, i) => clamp(value / (i ? h : w)));
      for (const [from, to] of CROSSINGS[which]) lines.push([...onSide(from), ...onSide(to)]);
    }
  }
  return lines;
}

/** Where the level crosses a side of the square between four pixels' centres: [x, y] in pixels of the map. */
function crossing(corners, side, level, row, column) {
  const [a, b] = [corners[side], corners[(side + 1) % 4]];
  const part = a === b ? 0.5 : (level - a) / (b - a);
  const [x, y] = [column + 0.5, row + 0.5];
  return [[x + part, y], [x + 1, y + part], [x + 1 - part, y + 1], [x, y + 1 - part]][side];
}
