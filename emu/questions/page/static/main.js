// Puts the page together when the data has been read.

async function begin() {
  const data = await readData();
  document.getElementById("main").hidden = false;
  const groups = makeLanes(data.runs), details = new Details();
  const consoles = new Consoles(data.runs, (run, line) => chooseLine(run, line));
  const timeline = new Timeline(data.runs, groups, data.difference, (lane, i) => {
    details.show(lane, i);
    const line = consoles.lineAt(lane.run, lane.icount[i], lane.ns[i]);
    if (line) consoles.mark(line);
  });
  const tables = new Tables(groups, (lane, i) => {
    timeline.choose(lane, i);
    document.getElementById("timeline").scrollIntoView({ block: "start" });
  });
  function chooseLine(run, line) {
    consoles.mark(line);
    details.showLine(run, line.text, line.icount, line.ns);
    timeline.view.reveal(line[timeline.view.axis]);
  }
  const search = new Search(data.runs, timeline, consoles, chooseLine);
  listenToPointers(timeline);
  listenToButtons(timeline, details, search);
  listenToKeys(timeline, search);
  showThinned(timeline.lanes);
  document.documentElement.dataset.ready = "yes";
  return { timeline, search, tables };
}

function listenToButtons(timeline, details, search) {
  const { view } = timeline;
  const actions = {
    whole: () => view.whole(),
    in: () => view.zoom(ZOOM_STEP),
    out: () => view.zoom(1 / ZOOM_STEP),
    earlier: () => view.move(-MOVE_STEP),
    later: () => view.move(MOVE_STEP),
    close: () => details.close(),
    difference: () => timeline.showDifference(),
    previous: () => search.go(-1),
  };
  for (const button of document.querySelectorAll("[data-do]")) {
    button.addEventListener("click", () => actions[button.dataset.do]());
  }
  const axis = document.getElementById("axis");
  axis.value = view.axis;
  axis.addEventListener("change", () => {
    view.setAxis(axis.value);
    timeline.found = search.matches.map((match) => match[view.axis]);
    if (timeline.chosen) view.reveal(timeline.chosen.lane[view.axis][timeline.chosen.i]);
  });
  document.getElementById("search-form").addEventListener("submit", (event) => {
    event.preventDefault();
    search.go(1);
  });
  let waiting = 0;
  search.field.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => search.find(), 120);
  });
}

function listenToKeys(timeline, search) {
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.matches("input, select, textarea");
    if (event.target === search.field && event.key === "Enter" && event.shiftKey) {
      event.preventDefault();
      search.go(-1);
    } else if (event.ctrlKey || event.metaKey || event.altKey || isTyping) return;
    else if (event.key === "/") {
      event.preventDefault();
      search.field.focus();
    } else if (event.key === "n" || event.key === "N") search.go(event.key === "n" ? 1 : -1);
    else if (timeline.obeyKey(event)) event.preventDefault();
  });
}

function showThinned(lanes) {
  const list = document.getElementById("thinned-list");
  for (const lane of lanes.filter((one) => one.kept && one.kept < one.all)) {
    const side = lane.run.side && `${lane.run.side}: `;
    list.append(element("li", "", `${side}${lane.group.title}, ${lane.name}: ${grouped(lane.kept)} of ${grouped(lane.all)}`));
  }
  document.getElementById("thinned").hidden = !list.children.length;
}

begin().then((page) => (window.minstret = page), (error) => {
  const trouble = document.getElementById("trouble");
  trouble.hidden = false;
  trouble.textContent = `This browser can't show the timeline (${error.message}). Chromium 103, Firefox 113 and Safari 16.4 can, and newer ones.`;
  throw error;
});
