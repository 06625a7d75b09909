// Draws the timeline. Where events are nearer than pixels it draws counts, found by binary search: a bar for each pixel.

const MARK_PX = 5, LABEL_GAP_PX = 46, HIT_PX = 9;
const FONT = "11px system-ui, sans-serif";

/** Colours of the style sheet, by name, for canvases. */
class Colours {
  constructor() {
    this.read();
  }

  read() {
    this.style = getComputedStyle(document.documentElement);
    this.known = new Map();
  }

  get(name) {
    if (!this.known.has(name)) this.known.set(name, this.style.getPropertyValue(`--${name}`).trim());
    return this.known.get(name);
  }
}

/** Fit a canvas to its place on the page; its context, in CSS pixels. */
function prepared(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas, scale = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = FONT;
  return { context, width, height };
}

// ---- marks: each kind has a shape of its own, so that colour is never needed

const SHAPES = {
  timer(c, x, y, r) { polygon(c, [[x, y - r], [x + r, y + r], [x - r, y + r]]); c.fill(); },
  external(c, x, y, r) { polygon(c, [[x, y - r], [x + r, y + r], [x - r, y + r]]); c.stroke(); },
  trap(c, x, y, r) { stroke(c, [[x - r, y - r], [x + r, y + r]]); stroke(c, [[x - r, y + r], [x + r, y - r]]); },
  interrupt(c, x, y, r) { polygon(c, [[x, y - r], [x + r, y], [x, y + r], [x - r, y]]); c.fill(); },
  input(c, x, y, r) { c.beginPath(); c.arc(x, y, r, 0, 7); c.fill(); },
  host(c, x, y, r) { c.beginPath(); c.arc(x, y, r - 0.5, 0, 7); c.stroke(); },
  sent(c, x, y, r) { polygon(c, [[x - r, y - r], [x + r, y], [x - r, y + r]]); c.fill(); },
  received(c, x, y, r) { polygon(c, [[x + r, y - r], [x - r, y], [x + r, y + r]]); c.stroke(); },
  tick(c, x, y, r) { stroke(c, [[x, y - r], [x, y + r]]); },
  text(c, x, y, r) { c.fillRect(x - 1, y - r, 3, 2 * r); },
  snapshot(c, x, y, r) { c.strokeRect(x - r + 0.5, y - r + 0.5, 2 * r - 1, 2 * r - 1); },
  end(c, x, y, r) { stroke(c, [[x, y + r], [x, y - r]]); polygon(c, [[x, y - r], [x + r + 1, y - r / 2], [x, y]]); c.fill(); },
  share(c, x, y, r) { c.fillRect(x - r, y, r, r); c.fillRect(x, y - r, r, 2 * r); },
};

function polygon(context, points) {
  context.beginPath();
  for (const [x, y] of points) context.lineTo(x, y);
  context.closePath();
}

function stroke(context, points) {
  context.beginPath();
  for (const [x, y] of points) context.lineTo(x, y);
  context.stroke();
}

// ---- lanes

class LanePainter {
  constructor(view, colours) {
    this.view = view;
    this.colours = colours;
  }

  paint(context, lane, top, height) {
    context.fillStyle = context.strokeStyle = this.colours.get(lane.group.colour);
    context.lineWidth = 1.5;
    if (!lane.kept) this._paintNote(context, lane, top + height / 2);
    else if (lane.kind === "share") this._paintShare(context, lane, top, height);
    else if (this._isDense(lane)) this._paintCounts(context, lane, top, height);
    else this._paintMarks(context, lane, top, height);
  }

  /** Of what nobody knows when it happened: what is known. */
  _paintNote(context, lane, middle) {
    context.fillStyle = this.colours.get("quiet");
    context.fillText(fitted(context, lane.note, this.view.width - 16), 8, middle + 4);
  }

  _seen(lane) {
    const values = lane[this.view.axis];
    const first = lowerBound(values, this.view.from);
    return [values, first, lowerBound(values, this.view.to, first)];
  }

  _isDense(lane) {
    const [, first, end] = this._seen(lane);
    return end - first > this.view.width / (2 * MARK_PX);
  }

  /** A bar for each pixel, as high as the logarithm of how many events are there. */
  _paintCounts(context, lane, top, height) {
    const { view } = this, [values, first, end] = this._seen(lane), room = height - 6;
    const counts = [];
    let most = 1, at = first;
    while (at < end) {
      const x = Math.floor(view.xOf(values[at]));
      const next = Math.max(at + 1, lowerBound(values, view.valueAt(x + 1), at));
      const count = lane.before[Math.min(next, end)] - lane.before[at];
      counts.push([x, count]);
      most = Math.max(most, count);
      at = next;
    }
    const unit = room / Math.log2(most + 1), bars = new Bars(context, top + height - 3);
    for (const [x, count] of counts) bars.add(x, Math.max(2, Math.round(Math.log2(count + 1) * unit)));
    bars.end();
  }

  _paintMarks(context, lane, top, height) {
    const { view } = this, [values, first, end] = this._seen(lane), middle = top + height / 2;
    const shape = SHAPES[lane.mark] ?? SHAPES.tick;
    for (let i = first; i < end; i++) {
      const x = view.xOf(values[i]);
      const next = i + 1 < lane.kept ? view.xOf(values[i + 1]) : view.width;
      if (lane.more && lane.more[i]) this._paintGap(context, x, Math.min(next, view.width), middle);
      shape(context, x, middle, MARK_PX);
      if (next - x > LABEL_GAP_PX) this._label(context, lane, i, x + MARK_PX + 3, middle, next - x - 2 * MARK_PX - 6);
    }
  }

  /** Events that were left out are a dotted line to the next that is there. */
  _paintGap(context, x, next, middle) {
    context.save();
    context.setLineDash([1, 3]);
    stroke(context, [[x, middle], [next, middle]]);
    context.restore();
  }

  _label(context, lane, i, x, middle, room) {
    context.save();
    context.fillStyle = this.colours.get("ink");
    const text = fitted(context, textOf(lane, i).replace(`${lane.name} `, ""), Math.min(room, 320));
    context.fillText(text, x, middle + 4);
    context.restore();
  }

  /** How much of the time something was on: height, for each pixel. Off is a thin line. */
  _paintShare(context, lane, top, height) {
    const { view } = this, { axis } = view, at = axis === "icount" ? 0 : 1;
    const begin = Math.max(0, Math.floor(view.xOf(lane[axis][0] ?? view.to)));
    const end = Math.min(view.width, Math.ceil(view.xOf(lane.run.end[at])));
    const room = height - 8, bottom = top + height - 4, bars = new Bars(context, bottom);
    let before = this._onUntil(lane, view.valueAt(begin));
    context.globalAlpha = 0.55;
    context.fillRect(begin, bottom - 1, Math.max(0, end - begin), 1);
    context.globalAlpha = 1;
    for (let x = begin; x < end; x++) {
      const on = this._onUntil(lane, view.valueAt(x + 1));
      const share = ((on - before) * view.width) / view.span;
      bars.add(x, share > 0.001 ? Math.max(2, Math.round(Math.min(share, 1) * room)) : 0);
      before = on;
    }
    bars.end();
  }

  /** For how long it was on before a place on the axis. */
  _onUntil(lane, value) {
    const values = lane[this.view.axis], sums = lane.on[this.view.axis];
    const i = lowerBound(values, value) - 1;
    if (i < 0) return 0;
    const end = i + 1 < lane.kept ? values[i + 1] : lane.run.end[this.view.axis === "icount" ? 0 : 1];
    const part = end > values[i] ? Math.min(1, (value - values[i]) / (end - values[i])) : 1;
    return sums[i] + part * (sums[i + 1] - sums[i]);
  }
}

/** Bars on a line, from left to right; those of one height that are beside each other are drawn as one. */
class Bars {
  constructor(context, bottom) {
    Object.assign(this, { context, bottom, from: 0, to: 0, height: 0 });
  }

  add(x, height) {
    if (x !== this.to || height !== this.height) {
      this.end();
      [this.from, this.height] = [x, height];
    }
    this.to = x + 1;
  }

  end() {
    if (this.height > 0) this.context.fillRect(this.from, this.bottom - this.height, this.to - this.from, this.height);
    this.height = 0;
  }
}

function fitted(context, text, room) {
  const shown = text.length > 200 ? text.slice(0, 200) : text;
  if (context.measureText(shown).width <= room) return shown;
  let keep = Math.floor((shown.length * room) / context.measureText(shown).width) - 1;
  while (keep > 0 && context.measureText(`${shown.slice(0, keep)}…`).width > room) keep--;
  return keep > 1 ? `${shown.slice(0, keep)}…` : "";
}

// ---- ruler and overview

function paintRuler(canvas, view, colours, found, chosen) {
  const { context, height } = prepared(canvas);
  const { step, values } = ticks(view, 90);
  context.fillStyle = colours.get("quiet");
  for (const value of values) {
    const x = Math.round(view.xOf(value)), text = tickText(view, value, step);
    context.fillRect(x, height - 6, 1, 6);
    if (x + 3 + context.measureText(text).width < view.width) context.fillText(text, x + 3, height - 9);
  }
  context.fillStyle = colours.get("accent");
  let last = -9;
  for (const value of found) {
    const x = view.xOf(value);
    if (x < 0 || x > view.width || x - last < 2) continue;
    polygon(context, [[x - 3, 0], [x + 3, 0], [x, 6]]);
    context.fill();
    last = x;
  }
  if (chosen !== null) context.fillRect(view.xOf(chosen) - 1, 0, 2, height);
}

/** The whole run: how much happened, as heights, and a frame around the part that is shown. */
class Overview {
  constructor(canvas, view, lanes, colours) {
    Object.assign(this, { canvas, view, lanes, colours });
    this.heights = { key: "" };
  }

  xOf(value) {
    return ((value - this.view.least) / (this.view.most - this.view.least)) * this.canvas.clientWidth;
  }

  valueAt(x) {
    return this.view.least + (x / this.canvas.clientWidth) * (this.view.most - this.view.least);
  }

  paint() {
    const { context, width, height } = prepared(this.canvas), { view } = this;
    context.fillStyle = this.colours.get("quiet");
    this._heights(Math.round(width)).forEach((bar, x) => {
      if (bar) context.fillRect(x, height - bar * height, 1, bar * height);
    });
    const left = this.xOf(view.from), right = this.xOf(view.to);
    context.fillStyle = context.strokeStyle = this.colours.get("accent");
    context.globalAlpha = 0.18;
    context.fillRect(left, 0, Math.max(2, right - left), height);
    context.globalAlpha = 1;
    context.lineWidth = 1.5;
    context.strokeRect(left + 0.75, 0.75, Math.max(2, right - left) - 1.5, height - 1.5);
  }

  /** One for each pixel, 0 to 1; counted again only where axis or width have changed. */
  _heights(width) {
    const key = `${this.view.axis} ${width}`;
    if (this.heights.key === key) return this.heights.values;
    const counts = new Float64Array(width);
    for (const lane of this.lanes) {
      if (lane.kind === "share") continue;
      const values = lane[this.view.axis];
      for (let x = 0, at = 0; x < width && at < lane.kept; x++) {
        const next = lowerBound(values, this.valueAt(x + 1), at);
        counts[x] += lane.before[next] - lane.before[at];
        at = next;
      }
    }
    const most = Math.log2(1 + counts.reduce((one, other) => Math.max(one, other), 1));
    this.heights = { key, values: Array.from(counts, (count) => Math.log2(1 + count) / most) };
    return this.heights.values;
  }
}
