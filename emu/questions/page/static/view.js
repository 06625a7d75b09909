// What part of the run is on the screen, along which axis, and the moves of that.

const ZOOM_STEP = 1.6, MOVE_STEP = 0.25;
const MARGIN = 0.01;

class View {
  /** Runs give how far there is anything to see. */
  constructor(runs, onChange) {
    this.runs = runs;
    this.onChange = onChange;
    this.width = 1;
    this.setAxis(this._hasTime() ? "ns" : "icount");
  }

  _hasTime() {
    return this.runs.some((run) => run.end[1] > run.begin[1]);
  }

  setAxis(axis) {
    this.axis = axis;
    const at = axis === "icount" ? 0 : 1;
    const begin = Math.min(...this.runs.map((run) => run.begin[at]));
    const end = Math.max(...this.runs.map((run) => run.end[at]));
    const margin = Math.max((end - begin) * MARGIN, 1);
    this.least = begin - margin;
    this.most = end + margin;
    this.show(this.least, this.most);
  }

  get span() {
    return this.to - this.from;
  }

  /** Show this part, or what of it there is. */
  show(from, to) {
    const span = Math.min(Math.max(to - from, 4), this.most - this.least);
    this.from = Math.min(Math.max(from, this.least), this.most - span);
    this.to = this.from + span;
    this.onChange();
  }

  whole() {
    this.show(this.least, this.most);
  }

  /** Make what is at `x` (px; the middle by default) `factor` times as large. */
  zoom(factor, x = this.width / 2) {
    const at = this.valueAt(x), share = x / this.width, span = this.span / factor;
    this.show(at - share * span, at + (1 - share) * span);
  }

  /** Move by a part of what is seen. */
  move(share) {
    this.show(this.from + share * this.span, this.to + share * this.span);
  }

  centre(value) {
    this.show(value - this.span / 2, value + this.span / 2);
  }

  /** Move as little as brings `value` well into sight. */
  reveal(value) {
    const edge = this.span * 0.05;
    if (value < this.from + edge || value > this.to - edge) this.centre(value);
  }

  xOf(value) {
    return ((value - this.from) / this.span) * this.width;
  }

  valueAt(x) {
    return this.from + (x / this.width) * this.span;
  }

  valueText(value) {
    return this.axis === "ns" ? timeText(Math.max(0, value)) : grouped(Math.max(0, value));
  }
}

/** Where to put ticks: at round values, not nearer to each other than `px`. */
function ticks(view, px) {
  const least = (view.span * px) / view.width;
  let step = 10 ** Math.floor(Math.log10(least));
  if (step < least) step = [2, 5, 10].map((one) => one * step).find((one) => one >= least);
  step = Math.max(step, 1);
  const found = [];
  for (let value = Math.ceil(Math.max(view.from, 0) / step) * step; value <= view.to; value += step) found.push(value);
  return { step, values: found };
}

function tickText(view, value, step) {
  if (view.axis === "icount") return shortCount(value, step);
  const [size, unit] = NS_UNITS.find(([one]) => Math.max(value, step) >= one) ?? [1, "ns"];
  const digits = Math.max(0, Math.ceil(Math.log10(size / step) - 1e-9));
  return `${(value / size).toFixed(Math.min(digits, 9))} ${unit}`;
}

function shortCount(value, step) {
  const [size, unit] = [[1e9, "G"], [1e6, "M"], [1e3, "k"]].find(([one]) => step >= one / 100 && value >= one) ?? [1, ""];
  return size === 1 ? grouped(value) : `${Number((value / size).toFixed(2))} ${unit}`;
}
