// The guest's console: lines with the time at which each began. All of it is text, whatever the guest has sent.

class Consoles {
  /** `onChoose(run, line)` is called when a line is chosen. */
  constructor(runs, onChoose) {
    this.place = document.getElementById("consoles");
    this.onChoose = onChoose;
    this.chosen = null;
    for (const run of runs) this._add(run);
  }

  _add(run) {
    const { console: lines } = run;
    const icount = summed(lines.icount), ns = summed(lines.ns);
    run.lines = lines.text.map((text, i) => ({ text, icount: icount[i], ns: ns[i], isTyped: lines.typed.includes(i) }));
    const box = element("div", "console"), list = element("ol");
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", run.side ? `Console of ${run.side}` : "Console");
    run.lines.forEach((line, i) => {
      if (lines.left_out && i === lines.left_out_at) list.append(gapLine(lines.left_out));
      list.append(this._line(run, line));
    });
    if (!run.lines.length) list.append(element("li", "gap", "The guest wrote nothing."));
    list.addEventListener("click", (event) => {
      const item = event.target.closest("li");
      if (item?.line && !String(getSelection())) this.onChoose(run, item.line);
    });
    box.append(list);
    const part = element("div");
    if (run.side) part.append(element("h3", "", `${run.side} ${run.name}`));
    part.append(box);
    this.place.append(part);
  }

  _line(run, line) {
    const item = element("li", line.isTyped ? "typed" : ""), time = element("time", "", shortTime(line.ns));
    time.title = positionText(line.icount, line.ns);
    item.append(time, element("span", "", line.text));
    line.item = item;
    item.line = line;
    return item;
  }

  /** Mark a line, and bring it into sight within its box. */
  mark(line) {
    this.chosen?.item.classList.remove("chosen");
    this.chosen = line;
    line.item.classList.add("chosen");
    const box = line.item.closest(".console"), item = line.item.getBoundingClientRect(), around = box.getBoundingClientRect();
    if (item.top < around.top || item.bottom > around.bottom) box.scrollTop += item.top - around.top - around.height / 3;
  }

  /** The line that the guest was writing at a place. */
  lineAt(run, icount, ns) {
    let found = null;
    for (const line of run.lines) {
      if (line.icount > icount || (line.icount === icount && line.ns > ns)) break;
      found = line;
    }
    return found;
  }
}

const gapLine = (count) => element("li", "gap", `… ${grouped(count)} lines were left out here …`);
const shortTime = (ns) => (ns / 1e9).toFixed(6);
