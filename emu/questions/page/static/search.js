// Search in events, symbols, source lines and the console.

const MATCHES_MAX = 100000;

class Search {
  constructor(runs, timeline, consoles, onLine) {
    Object.assign(this, { runs, timeline, consoles, onLine });
    this.field = document.getElementById("search");
    this.shown = document.getElementById("matches");
    this.matches = [];
    this.at = -1;
    this.sought = "";
    this._marked = [];
  }

  /** Find all that has what is typed in it. Whether that has changed. */
  find() {
    const wanted = this.field.value.trim().toLowerCase();
    if (wanted === this.sought) return false;
    this.sought = wanted;
    this.at = -1;
    this.matches = wanted ? [...this._events(wanted), ...this._lines(wanted)] : [];
    this.matches.sort((a, b) => a.icount - b.icount || a.ns - b.ns);
    this._markLines();
    this.timeline.found = this.matches.map((match) => match[this.timeline.view.axis]);
    this.timeline.redraw();
    this._say();
    return true;
  }

  *_events(wanted) {
    let count = 0;
    const having = new Map(this.runs.map((run) => [run, run.strings.map((text) => text.toLowerCase().includes(wanted))]));
    for (const lane of this.timeline.lanes) {
      const strings = having.get(lane.run), isNamed = !lane.text && lane.name.toLowerCase().includes(wanted);
      for (let i = 0; i < lane.kept && count < MATCHES_MAX; i++) {
        const isFound = isNamed || (lane.text && strings[lane.text[i]]) || (lane.place && strings[lane.place[i]]);
        if (!isFound) continue;
        count++;
        yield { lane, i, icount: lane.icount[i], ns: lane.ns[i] };
      }
    }
  }

  *_lines(wanted) {
    for (const run of this.runs) {
      for (const line of run.lines) {
        if (line.text.toLowerCase().includes(wanted)) yield { run, line, icount: line.icount, ns: line.ns };
      }
    }
  }

  _markLines() {
    for (const line of this._marked) line.item.lastChild.classList.remove("found");
    this._marked = this.matches.filter((match) => match.line).map((match) => match.line);
    for (const line of this._marked) line.item.lastChild.classList.add("found");
  }

  go(by) {
    this.find();
    if (!this.matches.length) return;
    this.at = this.at < 0 && by < 0 ? this.matches.length - 1 : (this.at + by + this.matches.length) % this.matches.length;
    const match = this.matches[this.at];
    if (match.line) this.onLine(match.run, match.line);
    else this.timeline.choose(match.lane, match.i);
    this._say();
  }

  _say() {
    const count = grouped(this.matches.length);
    if (!this.sought) this.shown.textContent = "";
    else if (!this.matches.length) this.shown.textContent = "no match";
    else this.shown.textContent = this.at < 0 ? `${count} found` : `${grouped(this.at + 1)} of ${count}`;
  }
}
