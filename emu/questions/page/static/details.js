// What is known of the chosen event, and the command that debugs there.

class Details {
  constructor() {
    this.panel = document.getElementById("details");
    this.title = document.getElementById("details-title");
    this.body = document.getElementById("details-body");
    this.live = document.getElementById("live");
  }

  show(lane, i) {
    const text = textOf(lane, i), side = lane.run.side && `${lane.run.side}: `;
    this.title.textContent = `${side}${lane.name}`;
    this.body.replaceChildren(
      element("p", "what", text), this._place(lane, i), commandRow(lane.run, lane.icount[i]), ...this._registers(lane, i),
    );
    this.panel.classList.add("chosen");
    this.live.textContent = `${side}${text}, ${positionText(lane.icount[i], lane.ns[i])}`;
  }

  /** A place that is no event: a line of the console. */
  showLine(run, text, icount, ns) {
    this.title.textContent = `${run.side && `${run.side}: `}Console`;
    const place = facts([["icount", grouped(icount)], ["virtual time", timeText(ns)]]);
    this.body.replaceChildren(element("p", "what", text), place, commandRow(run, icount));
    this.panel.classList.add("chosen");
  }

  close() {
    this.panel.classList.remove("chosen");
  }

  _place(lane, i) {
    const hart = hartOf(lane, i), more = lane.kind === "marks" && lane.more ? lane.more[i] : 0;
    return facts([
      ["icount", grouped(lane.icount[i])],
      ["virtual time", timeText(lane.ns[i])],
      ["hart", hart === null ? "" : `hart${hart}`],
      ["at", placeOf(lane, i)],
      ["number", lane.kind === "marks" ? `${grouped(lane.before[i] + 1)} of ${grouped(lane.all)}` : ""],
      ["left out", more ? `${grouped(more)} of these come between this one and the next one here` : ""],
    ]);
  }

  _registers(lane, i) {
    const at = registersOf(lane, i);
    if (at < 0) return lane.run.registers.names.length ? [element("p", "quiet", "Registers: debug there to see them.")] : [];
    const values = registersAt(lane.run.registers, at), before = at > 0 ? registersAt(lane.run.registers, at - 1) : values;
    const list = element("ul", "registers");
    lane.run.registers.names.forEach((name, one) => {
      const item = element("li", values[one] === before[one] ? "" : "changed");
      item.append(element("b", "", name), " ", values[one]);
      list.append(item);
    });
    return [element("h3", "", "Registers"), list];
  }
}

/** Registers at one place: what has changed up to there. */
function registersAt(registers, at) {
  const values = registers.names.map(() => "0");
  for (let i = 0; i <= at; i++) {
    const changes = registers.rows[i];
    for (let j = 0; j < changes.length; j += 2) values[changes[j]] = changes[j + 1];
  }
  return values;
}

function facts(rows) {
  const list = element("dl", "place");
  for (const [label, value] of rows) if (value) list.append(element("dt", "", label), element("dd", "", value));
  return list;
}

function commandRow(run, icount) {
  const text = `${run.command[0]}${icount}${run.command[1]}`;
  const row = element("div", "command"), button = element("button", "", "Copy");
  button.type = "button";
  button.setAttribute("aria-label", "Copy the command");
  button.addEventListener("click", async () => {
    button.textContent = (await copied(text)) ? "Copied" : "Not copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  row.append(element("code", "", text), button);
  return row;
}

/** Put a text on the clipboard; whether that was possible. */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = element("textarea");
    area.value = text;
    area.className = "hidden";
    document.body.append(area);
    area.select();
    const isDone = document.execCommand("copy");
    area.remove();
    return isDone;
  }
}
