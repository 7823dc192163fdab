// A place on the screen for what comes by itself, where it covers nothing that can be clicked.

const CLICKABLE = "button, a[href], input, select, textarea, summary, label, [tabindex='0']";
const [STEP, EDGE, AIR] = [8, 12, 4]; // pixels between places that are tried, to the screen's edge, and to what is clickable

const overlap = (from, to, low, high) => Math.max(0, Math.min(to, high) - Math.max(from, low));

/**
 * The place {left, top} of a box of some size on a screen {w, h} that covers least of other boxes {left, top, right, bottom};
 * of those that cover nothing the one next to `wanted`.
 */
function freePlace(size, screen, boxes, wanted) {
  let best = { covered: Infinity, far: Infinity, left: wanted.left, top: wanted.top };
  const most = { left: Math.max(EDGE, screen.w - size.w - EDGE), top: Math.max(EDGE, screen.h - size.h - EDGE) };
  const lefts = [clamp(wanted.left, EDGE, most.left)];
  for (let left = EDGE; left <= most.left; left += STEP) lefts.push(left);
  for (let top = most.top; top >= EDGE; top -= STEP) {
    const near = boxes.filter((box) => box.top - AIR < top + size.h && box.bottom + AIR > top);
    for (const left of lefts) {
      const far = Math.hypot(left - wanted.left, top - wanted.top);
      if (best.covered === 0 && far >= best.far) continue;
      const covered = near.reduce((sum, box) => {
        const across = overlap(box.left - AIR, box.right + AIR, left, left + size.w);
        return sum + across * overlap(box.top - AIR, box.bottom + AIR, top, top + size.h);
      }, 0);
      if (covered < best.covered || (covered === best.covered && far < best.far)) best = { covered, far, left, top };
    }
  }
  return { left: best.left, top: best.top };
}

/** Put a fixed node where it covers nothing that can be clicked, next to `wanted`. */
function placeFreely(node, wanted) {
  const screen = { w: document.documentElement.clientWidth, h: window.innerHeight };
  const others = [...document.querySelectorAll(CLICKABLE)].filter((other) => !node.contains(other));
  const boxes = others.map((other) => other.getBoundingClientRect());
  const seen = boxes.filter(({ width, bottom, top }) => width && bottom > 0 && top < screen.h);
  const size = { w: node.offsetWidth, h: node.offsetHeight };
  const { left, top } = freePlace(size, screen, seen, wanted(size, screen));
  Object.assign(node.style, { left: `${left}px`, top: `${top}px` });
}
