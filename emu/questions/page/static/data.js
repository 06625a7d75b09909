// The data block: JSON, deflated, base64. Columns of numbers are differences; here they become typed arrays.

async function readData() {
  const packed = atob(document.getElementById("data").textContent.trim());
  const bytes = Uint8Array.from(packed, (one) => one.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

/** Running sums: where each event is, from the distances between them. */
function summed(differences) {
  const sums = new Float64Array(differences.length);
  let sum = 0;
  for (let i = 0; i < differences.length; i++) sums[i] = sum += differences[i];
  return sums;
}

/** One longer: how much there is before each event, and in all. */
function totals(amounts, count) {
  const sums = new Float64Array(count + 1);
  for (let i = 0; i < count; i++) sums[i + 1] = sums[i] + (amounts ? amounts[i] : 0);
  return sums;
}

/** The index of the first value that is not less than `wanted`, at or after `from`. */
function lowerBound(values, wanted, from = 0) {
  let low = from, high = values.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (values[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A row of the data as a lane: `icount` and `ns` of its events, in order; `before[i]` events precede the i-th. */
function makeLane(run, group, row) {
  const icount = summed(row.icount), count = icount.length;
  const lane = {
    run, group, name: row.name, note: row.note, kind: row.kind, mark: row.mark, all: row.count, kept: count,
    icount, ns: summed(row.ns), seq: summed(row.seq), more: row.more, text: row.text, place: row.place, hart: row.hart,
    registers: row.registers, before: totals(null, count),
  };
  for (let i = 0; i < count; i++) lane.before[i + 1] = lane.before[i] + 1 + (row.more ? row.more[i] : 0);
  if (row.kind === "share") lane.on = { icount: totals(row.on_icount, count), ns: totals(row.on_ns, count) };
  return lane;
}

/** All lanes, by group; those of one name in two runs are beside each other. */
function makeLanes(runs) {
  const groups = new Map();
  runs.forEach((run, side) => {
    run.side = runs.length > 1 ? "AB"[side] : "";
    for (const group of run.groups) {
      const known = groups.get(group.id) ?? { ...group, rows: new Map() };
      groups.set(group.id, known);
      for (const row of group.rows) {
        const lanes = known.rows.get(row.name) ?? [];
        lanes.push(makeLane(run, known, row));
        known.rows.set(row.name, lanes);
      }
    }
  });
  return [...groups.values()].map((group) => ({ ...group, lanes: [...group.rows.values()].flat() }));
}

function textOf(lane, i) {
  if (lane.text) return lane.run.strings[lane.text[i]];
  if (lane.kind !== "share") return lane.name;
  const end = i + 1 < lane.kept ? lane.ns[i + 1] : lane.run.end[1];
  const whole = end - lane.ns[i], on = lane.on.ns[i + 1] - lane.on.ns[i];
  const span = spanText(whole);
  if (lane.more && lane.more[i]) return `${lane.group.on} ${Math.round((100 * on) / (whole || 1))} % of ${span}`;
  return `${on ? lane.group.on : lane.group.off} for ${span}`;
}

const placeOf = (lane, i) => (lane.place && lane.place[i] >= 0 ? lane.run.strings[lane.place[i]] : "");
const hartOf = (lane, i) => (lane.hart && lane.hart[i] >= 0 ? lane.hart[i] : null);
const registersOf = (lane, i) => (lane.registers ? lane.registers[i] : -1);

// ---- numbers as people read them

const NS_UNITS = [[1e9, "s"], [1e6, "ms"], [1e3, "µs"], [1, "ns"]];
const grouped = (number) => Math.round(number).toLocaleString("en-US");

/** A virtual time in seconds, to the nanosecond. */
function timeText(ns) {
  const seconds = Math.floor(ns / 1e9);
  return `${grouped(seconds)}.${String(Math.round(ns - seconds * 1e9)).padStart(9, "0")} s`;
}

function spanText(ns) {
  const [size, unit] = NS_UNITS.find(([one]) => ns >= one) ?? [1, "ns"];
  return `${Number((ns / size).toPrecision(4))} ${unit}`;
}

const positionText = (icount, ns) => `icount ${grouped(icount)}, ${timeText(ns)}`;
