// The timeline: lanes beside a canvas, what is chosen, and what moves it: mouse, touch, keys, buttons.

const DRAWS_KEPT = 512;

class Timeline {
  /**
   * `groups` are those of makeLanes; `difference` is a place {icount, ns} or null; `onChoose(lane, i)` is called when
   * an event is chosen.
   */
  constructor(runs, groups, difference, onChoose) {
    this.groups = groups;
    this.lanes = groups.flatMap((group) => group.lanes);
    this.difference = difference;
    this.onChoose = onChoose;
    this.canvas = document.getElementById("canvas");
    this.ruler = document.getElementById("ruler");
    this.colours = new Colours();
    this.chosen = null;
    this.found = [];
    this.draws = [];
    this._isDue = false;
    this.view = new View(runs, () => this.redraw());
    this.painter = new LanePainter(this.view, this.colours);
    this.overview = new Overview(document.getElementById("overview"), this.view, this.lanes, this.colours);
    this._makeGutter();
    this._watchSize();
  }

  // ---- what is drawn

  redraw() {
    if (this._isDue) return;
    this._isDue = true;
    requestAnimationFrame(() => {
      this._isDue = false;
      const begin = performance.now();
      this.paint();
      this.draws.push(performance.now() - begin);
      if (this.draws.length > DRAWS_KEPT) this.draws.shift();
    });
  }

  paint() {
    const { context, width, height } = prepared(this.canvas), { view } = this;
    view.width = Math.max(1, width);
    this._paintGrid(context, height);
    for (const lane of this._lanesInSight()) this.painter.paint(context, lane, lane.top, lane.height);
    this._paintDifference(context, height);
    this._paintChosen(context, height);
    paintRuler(this.ruler, view, this.colours, this.found, this.chosen && this._chosenValue());
    this.overview.paint();
    document.getElementById("range").textContent =
      `${tickText(view, Math.max(0, view.from), view.span / 100)} to ${tickText(view, view.to, view.span / 100)}`;
  }

  /** Those on the screen, and some around: scrolling draws the others. */
  _lanesInSight() {
    const top = -this.canvas.getBoundingClientRect().top, margin = 100;
    return this.lanes.filter((lane) => lane.top + lane.height > top - margin && lane.top < top + innerHeight + margin);
  }

  _paintGrid(context, height) {
    context.fillStyle = this.colours.get("band");
    for (const group of this.groups) context.fillRect(0, group.heading.offsetTop, this.view.width, group.heading.offsetHeight);
    context.fillStyle = this.colours.get("line");
    for (const value of ticks(this.view, 90).values) context.fillRect(Math.round(this.view.xOf(value)), 0, 1, height);
    for (const lane of this.lanes) context.fillRect(0, lane.top + lane.height - 1, this.view.width, 0.5);
  }

  _paintDifference(context, height) {
    if (!this.difference) return;
    const x = this.view.xOf(this.difference[this.view.axis]);
    context.strokeStyle = context.fillStyle = this.colours.get("bad");
    context.setLineDash([6, 4]);
    stroke(context, [[x, 0], [x, height]]);
    context.setLineDash([]);
    SHAPES.interrupt(context, x, 9, 6);
    const label = "first difference", room = context.measureText(label).width;
    context.fillText(label, x + 10 + room < this.view.width ? x + 10 : x - 10 - room, 13);
  }

  _chosenValue() {
    return this.chosen.lane[this.view.axis][this.chosen.i];
  }

  _paintChosen(context, height) {
    if (!this.chosen) return;
    const x = this.view.xOf(this._chosenValue()), { lane } = this.chosen;
    context.strokeStyle = this.colours.get("accent");
    context.lineWidth = 1.5;
    stroke(context, [[x, 0], [x, height]]);
    context.lineWidth = 2;
    context.strokeRect(x - 8, lane.top + 2, 16, lane.height - 4);
  }

  // ---- lanes

  _makeGutter() {
    const gutter = document.getElementById("gutter");
    for (const group of this.groups) {
      const title = (group.heading = element("div", "group-title", group.title));
      title.title = group.note ? `${group.title}: ${group.note}` : group.title;
      title.style.setProperty("--group-colour", `var(--${group.colour})`);
      gutter.append(title);
      for (const lane of group.lanes) gutter.append(this._makeLaneButton(lane));
    }
    gutter.addEventListener("keydown", (event) => this._onLaneKey(event));
    gutter.addEventListener("click", (event) => this._onLaneClick(event));
  }

  _makeLaneButton(lane) {
    const button = element("button", "lane");
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    const side = lane.run.side && `${lane.run.side} `;
    button.title = `${side}${lane.name}: ${grouped(lane.all)}${lane.note ? `; ${lane.note}` : ""}`;
    button.setAttribute("aria-label", `${lane.group.title}: ${button.title}`);
    const shape = element("canvas", "shape");
    shape.setAttribute("aria-hidden", "true");
    button.append(shape, element("span", "name", side + lane.name), element("span", "count", shortCount(lane.all, 1e4)));
    lane.button = button;
    lane.shape = shape;
    button.lane = lane;
    return button;
  }

  _watchSize() {
    new ResizeObserver(() => this._measure()).observe(document.getElementById("timeline"));
    addEventListener("scroll", () => this.redraw(), { passive: true });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.colours.read();
      this._measure();
    });
    this._measure();
  }

  _measure() {
    for (const lane of this.lanes) {
      lane.top = lane.button.offsetTop;
      lane.height = lane.button.offsetHeight;
      const { context } = prepared(lane.shape);
      context.fillStyle = context.strokeStyle = this.colours.get(lane.group.colour);
      context.lineWidth = 1.5;
      (SHAPES[lane.mark] ?? SHAPES.tick)(context, 6, 6, 4);
    }
    this.view.width = Math.max(1, this.canvas.clientWidth);
    this.redraw();
  }

  laneAt(y) {
    return this.lanes.find((lane) => y >= lane.top && y < lane.top + lane.height) ?? null;
  }

  /** The event of a lane at `x`, or that which lasts there; -1 where there is none near. */
  eventAt(lane, x) {
    const values = lane[this.view.axis];
    if (lane.kind === "share") return lowerBound(values, this.view.valueAt(x + 0.5)) - 1;
    const i = nearest(values, this.view.valueAt(x));
    return i >= 0 && Math.abs(this.view.xOf(values[i]) - x) <= HIT_PX ? i : -1;
  }

  // ---- choosing

  choose(lane, i, { reveal = true } = {}) {
    if (this.chosen) this.chosen.lane.button.setAttribute("aria-pressed", "false");
    this.chosen = { lane, i };
    lane.button.setAttribute("aria-pressed", "true");
    if (reveal) this.view.reveal(lane[this.view.axis][i]);
    this.redraw();
    this.onChoose(lane, i);
  }

  /** Show as much around the chosen event as lets one see its neighbours. */
  zoomToChosen() {
    const { lane, i } = this.chosen, values = lane[this.view.axis];
    const near = [i - 3, i + 3].map((one) => values[Math.min(Math.max(one, 0), lane.kept - 1)]);
    const half = Math.max(values[i] - near[0], near[1] - values[i], 10);
    this.view.show(values[i] - half * 1.3, values[i] + half * 1.3);
  }

  /** Show a hundredth of the runs around where they part. */
  showDifference() {
    const at = this.difference[this.view.axis], half = (this.view.most - this.view.least) / 200;
    this.view.show(at - half, at + half);
  }

  /** The last event of any lane at or before a value: for going along the ruler. */
  chooseBefore(value) {
    let best = null;
    for (const lane of this.lanes) {
      if (lane.kind === "share") continue;
      const i = lowerBound(lane[this.view.axis], value + Number.EPSILON) - 1;
      if (i >= 0 && (!best || lane.seq[i] > best.lane.seq[best.i])) best = { lane, i };
    }
    if (best) this.choose(best.lane, best.i, { reveal: false });
  }

  _step(lane, by) {
    if (!lane.kept) return;
    let i;
    if (this.chosen?.lane === lane) i = this.chosen.i + by;
    else {
      const from = this.chosen ? this._chosenValue() : this.view.valueAt(this.view.width / 2);
      i = by > 0 ? lowerBound(lane[this.view.axis], from) : lowerBound(lane[this.view.axis], from) - 1;
    }
    this.choose(lane, Math.min(Math.max(i, 0), lane.kept - 1));
  }

  // ---- keys

  _onLaneClick(event) {
    const lane = event.target.closest(".lane")?.lane;
    if (lane && event.detail) this._step(lane, 1);
  }

  _onLaneKey(event) {
    const lane = event.target.lane;
    if (!lane || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const at = this.lanes.indexOf(lane);
    const moves = {
      ArrowLeft: () => this._step(lane, -1),
      ArrowRight: () => this._step(lane, 1),
      ArrowUp: () => this.lanes[Math.max(0, at - 1)].button.focus(),
      ArrowDown: () => this.lanes[Math.min(this.lanes.length - 1, at + 1)].button.focus(),
      Home: () => lane.kept && this.choose(lane, 0),
      End: () => lane.kept && this.choose(lane, lane.kept - 1),
      Enter: () => this._enter(lane),
      " ": () => this._enter(lane),
    };
    if (!moves[event.key]) return;
    moves[event.key]();
    event.preventDefault();
    event.stopPropagation();
  }

  _enter(lane) {
    if (this.chosen?.lane === lane) {
      this.zoomToChosen();
      return;
    }
    const i = nearest(lane[this.view.axis], this.view.valueAt(this.view.width / 2));
    if (i >= 0) this.choose(lane, i);
  }

  /** Keys that are for the whole page. Whether it was one. */
  obeyKey(event) {
    const moves = {
      "+": () => this.view.zoom(ZOOM_STEP, this._focusX()),
      "=": () => this.view.zoom(ZOOM_STEP, this._focusX()),
      "-": () => this.view.zoom(1 / ZOOM_STEP, this._focusX()),
      0: () => this.view.whole(),
      ArrowLeft: () => event.shiftKey && this.view.move(-MOVE_STEP),
      ArrowRight: () => event.shiftKey && this.view.move(MOVE_STEP),
    };
    if (!moves[event.key] || (event.key.startsWith("Arrow") && !event.shiftKey)) return false;
    moves[event.key]();
    return true;
  }

  /** Zoom around what is chosen, where that is seen. */
  _focusX() {
    const x = this.chosen ? this.view.xOf(this._chosenValue()) : -1;
    return x >= 0 && x <= this.view.width ? x : this.view.width / 2;
  }
}

function nearest(values, value) {
  if (!values.length) return -1;
  const i = Math.min(lowerBound(values, value), values.length - 1);
  return i > 0 && value - values[i - 1] < values[i] - value ? i - 1 : i;
}

function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}
