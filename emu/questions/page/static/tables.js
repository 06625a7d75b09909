// The same events as tables: for screen readers, for paper, and for who reads better than looks.

const PAGE_ROWS = 100, PRINTED_ROWS = 40;

class Tables {
  /** `onChoose(lane, i)` is called when a row's place is chosen. */
  constructor(groups, onChoose) {
    this.onChoose = onChoose;
    this.tables = groups.map((group) => this._make(group));
    document.getElementById("table-list").append(...this.tables.map((table) => table.place));
    addEventListener("beforeprint", () => this.forPaper());
    addEventListener("afterprint", () => this.forScreen());
  }

  _make(group) {
    const place = element("details", "events"), all = group.lanes.reduce((sum, lane) => sum + lane.all, 0);
    place.append(element("summary", "", `${group.title}: ${grouped(all)}`), element("div"));
    const table = { group, place, page: 0, rows: null };
    place.addEventListener("toggle", () => place.open && !place.dataset.paper && this._fill(table));
    return table;
  }

  /** The events of a group in the order in which they happened: [lane, i] each. */
  _rows(table) {
    if (!table.rows) {
      table.rows = table.group.lanes.flatMap((lane) => Array.from({ length: lane.kept }, (_, i) => [lane, i]));
      table.rows.sort(([a, i], [b, j]) => a.seq[i] - b.seq[j]);
    }
    return table.rows;
  }

  _fill(table) {
    const rows = this._rows(table), pages = Math.max(1, Math.ceil(rows.length / PAGE_ROWS));
    table.page = Math.min(Math.max(table.page, 0), pages - 1);
    const first = table.page * PAGE_ROWS, shown = rows.slice(first, first + PAGE_ROWS);
    const caption = `${table.group.title}: rows ${grouped(Math.min(first + 1, rows.length))} to ${grouped(first + shown.length)} of ${grouped(rows.length)}`;
    const parts = [this._grid(shown, caption)];
    if (table.group.note) parts.unshift(element("p", "quiet", table.group.note));
    if (pages > 1) parts.push(this._pager(table, pages));
    table.place.lastChild.replaceChildren(...parts);
  }

  _pager(table, pages) {
    const bar = element("div", "pager");
    for (const [text, page] of [["First", 0], ["Earlier", table.page - 1], ["Later", table.page + 1], ["Last", pages - 1]]) {
      const button = element("button", "", text);
      button.type = "button";
      button.disabled = page < 0 || page >= pages || page === table.page;
      button.addEventListener("click", () => {
        table.page = page;
        this._fill(table);
        table.place.querySelector("summary").focus();
      });
      bar.append(button);
    }
    bar.append(element("span", "quiet", `page ${table.page + 1} of ${pages}`));
    return bar;
  }

  _grid(rows, caption) {
    const table = element("table"), head = element("tr"), body = element("tbody");
    table.append(element("caption", "", caption));
    const hasSides = rows.some(([lane]) => lane.run.side), hasHarts = rows.some(([lane, i]) => hartOf(lane, i) !== null);
    const hasPlaces = rows.some(([lane, i]) => placeOf(lane, i));
    const titles = [hasSides && "run", "icount", "virtual time", hasHarts && "hart", "what", hasPlaces && "at"];
    for (const title of titles.filter(Boolean)) {
      const cell = element("th", "", title);
      cell.scope = "col";
      head.append(cell);
    }
    for (const [lane, i] of rows) body.append(this._row(lane, i, { hasSides, hasHarts, hasPlaces }));
    const top = element("thead");
    top.append(head);
    table.append(top, body);
    const scroll = element("div", "scroll");
    scroll.append(table);
    return scroll;
  }

  _row(lane, i, { hasSides, hasHarts, hasPlaces }) {
    const row = element("tr"), place = element("td", "number"), button = element("button", "", grouped(lane.icount[i]));
    button.type = "button";
    button.addEventListener("click", () => this.onChoose(lane, i));
    place.append(button);
    const text = textOf(lane, i), what = text.includes(lane.name) ? text : `${lane.name}: ${text}`;
    const more = lane.kind === "marks" && lane.more && lane.more[i] ? ` (and ${grouped(lane.more[i])} more, left out)` : "";
    if (hasSides) row.append(element("td", "", lane.run.side));
    row.append(place, element("td", "number", timeText(lane.ns[i])));
    if (hasHarts) row.append(element("td", "", hartOf(lane, i) === null ? "" : `hart${hartOf(lane, i)}`));
    row.append(element("td", "", what + more));
    if (hasPlaces) row.append(element("td", "", placeOf(lane, i)));
    return row;
  }

  // ---- paper: all tables are open, and each has as many rows as somebody will read

  forPaper() {
    for (const table of this.tables) {
      const rows = this._rows(table), left = rows.length - 2 * PRINTED_ROWS;
      table.wasOpen = table.place.open;
      table.place.dataset.paper = "yes";
      table.place.open = true;
      const title = table.group.title;
      const parts = left <= 0
        ? [this._grid(rows, title)]
        : [
          this._grid(rows.slice(0, PRINTED_ROWS), `${title}: the first ${PRINTED_ROWS}; ${grouped(left)} more are not printed`),
          this._grid(rows.slice(-PRINTED_ROWS), `${title}: the last ${PRINTED_ROWS}`),
        ];
      table.place.lastChild.replaceChildren(...parts);
    }
  }

  forScreen() {
    for (const table of this.tables) {
      delete table.place.dataset.paper;
      table.place.open = table.wasOpen;
      if (table.wasOpen) this._fill(table);
      else table.place.lastChild.replaceChildren();
    }
  }
}
