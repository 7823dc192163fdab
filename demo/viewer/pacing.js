// Work that is asked for more often than it can be done.

/**
 * `soon` does the work once, however often it is asked for meanwhile, and not before the page has rested for as long as the
 * last time took: else clicks would wait behind all of it. `cancel` forgets what was asked for.
 */
function paced(work, { now = () => performance.now(), later = setTimeout, painted = requestAnimationFrame } = {}) {
  let [timer, free] = [0, 0];
  const run = () => {
    const began = now();
    timer = 0;
    work();
    const rest = () => (free = 2 * now() - began);
    rest();
    painted(() => later(rest)); // what is painted and what waited for it count, too
  };
  return {
    soon: () => void (timer ||= later(run, Math.max(0, free - now()))),
    cancel: () => {
      clearTimeout(timer);
      timer = 0;
    },
  };
}
