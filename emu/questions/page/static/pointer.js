// Mouse, pen and touch over the timeline.

const CLICK_PX = 4, WHEEL_ZOOM = 0.0022;

function listenToPointers(timeline) {
  const { canvas, view } = timeline;
  dragToMove(timeline, canvas);
  canvas.addEventListener("wheel", (event) => onWheel(event, view, event.ctrlKey || event.metaKey), { passive: false });
  timeline.ruler.addEventListener("wheel", (event) => onWheel(event, view, true), { passive: false });
  timeline.overview.canvas.addEventListener("wheel", (event) => onWheel(event, view, true), { passive: false });
  dragAlong(timeline.ruler, (x) => timeline.chooseBefore(view.valueAt(x)));
  dragAlong(timeline.overview.canvas, (x) => view.centre(timeline.overview.valueAt(x)));
  showTips(timeline);
}

function onWheel(event, view, zooms) {
  const sideways = event.deltaX || (event.shiftKey ? event.deltaY : 0);
  if (zooms && event.deltaY) view.zoom(Math.exp(-pixels(event, event.deltaY) * WHEEL_ZOOM), event.offsetX);
  else if (sideways && Math.abs(sideways) >= Math.abs(event.shiftKey ? 0 : event.deltaY)) {
    view.move(pixels(event, sideways) / view.width);
  } else return; // the page scrolls
  event.preventDefault();
}

const pixels = (event, delta) => delta * [1, 16, 400][event.deltaMode];

/** One pointer moves the view, or chooses where it does not move; two zoom it. */
function dragToMove(timeline, canvas) {
  const { view } = timeline, held = new Map();
  let moved = 0;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    if (!held.size) moved = 0;
    held.set(event.pointerId, event.offsetX);
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!held.has(event.pointerId)) return;
    const before = [...held.values()];
    moved += Math.abs(event.offsetX - held.get(event.pointerId));
    held.set(event.pointerId, event.offsetX);
    if (moved <= CLICK_PX && held.size < 2) return;
    canvas.classList.add("dragged");
    follow(view, before, [...held.values()]);
  });
  const release = (event) => {
    const isClick = held.delete(event.pointerId) && !held.size && moved <= CLICK_PX && event.type === "pointerup";
    if (!held.size) canvas.classList.remove("dragged");
    if (isClick) chooseAt(timeline, event.offsetX, event.offsetY);
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
}

/** Keep what is under the pointers under them. */
function follow(view, before, now) {
  if (now.length < 2) {
    view.move((before[0] - now[0]) / view.width);
    return;
  }
  const [a, b] = before.map((x) => view.valueAt(x)), [x, y] = now;
  if (Math.abs(x - y) < 8 || a === b) return;
  const span = (Math.abs(b - a) / Math.abs(y - x)) * view.width;
  const from = (a + b) / 2 - ((x + y) / 2 / view.width) * span;
  view.show(from, from + span);
}

function chooseAt(timeline, x, y) {
  const lane = timeline.laneAt(y);
  if (!lane) return;
  const i = timeline.eventAt(lane, x);
  if (i < 0) return;
  timeline.choose(lane, i, { reveal: false });
  lane.button.focus({ preventScroll: true });
}

/** Call `go(x)` while a pointer is held over a canvas. */
function dragAlong(canvas, go) {
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    go(event.offsetX);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (canvas.hasPointerCapture(event.pointerId)) go(event.offsetX);
  });
}

function showTips(timeline) {
  const { canvas, view } = timeline, tip = document.getElementById("tip");
  canvas.addEventListener("pointermove", (event) => {
    const lane = event.pointerType === "mouse" && !event.buttons ? timeline.laneAt(event.offsetY) : null;
    const i = lane ? timeline.eventAt(lane, event.offsetX) : -1;
    tip.hidden = i < 0;
    if (i < 0) return;
    tip.textContent = `${view.valueText(lane[view.axis][i])}  ${textOf(lane, i)}`;
    const left = canvas.offsetLeft + event.offsetX + 14;
    tip.style.left = `${Math.max(0, Math.min(left, canvas.offsetLeft + view.width - tip.offsetWidth - 4))}px`;
    tip.style.top = `${lane.top + lane.height + 2}px`;
  });
  canvas.addEventListener("pointerleave", () => (tip.hidden = true));
}
