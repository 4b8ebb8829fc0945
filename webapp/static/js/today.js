// Charts of the Today page: a p-chart of called parts, an EWMA of good parts' scores.
import { $, calmly, chartFont, make, resolved, say } from "./kit.js";
import { watch } from "./live.js";

const HEIGHT = 240;
const HOUR = 3600;
const DAY = 24 * HOUR;
// Between two words of the axis: never less than they tell apart.
const HOURS = [1, 2, 3, 4, 6, 8, 12, 24].map((n) => n * HOUR);
const DAYS = [1, 2, 3, 4, 5, 7, 10, 14, 21, 30, 60, 90].map((n) => n * DAY);

/** Days (or hours) of the plant, in the words of the page's language. */
function clock(place, at) {
  const hours = at.length > 1 && at[1] - at[0] < 2 * HOUR;
  const zone = { timeZone: place.dataset.zone };
  const words = (options) => new Intl.DateTimeFormat(document.documentElement.lang, { ...zone, ...options });
  const short = words(hours ? { hour: "2-digit", minute: "2-digit" } : { day: "numeric", month: "short" });
  const long = words({ weekday: "short", day: "numeric", month: "short", ...(hours ? { hour: "2-digit", minute: "2-digit" } : {}) });
  return { steps: hours ? HOURS : DAYS, short: (s) => short.format(s * 1000), long: (s) => long.format(s * 1000) };
}

function frame(time, format) {
  const axis = { stroke: resolved("--k-dim"), grid: { stroke: resolved("--k-line"), width: 1 }, ticks: { show: false }, font: chartFont() };
  return [
    { ...axis, size: 28, space: 64, incrs: time.steps, values: (_, splits) => splits.map(time.short) },
    { ...axis, size: 52, space: 36, values: (_, splits) => splits.map(format) },
  ];
}

const dashed = (label) => ({ label, stroke: resolved("--k-dim"), width: 1.25, dash: [5, 4], spanGaps: true, points: { show: false } });

/** Points outside the limits are larger and in another colour: never by colour alone. */
function marks(outside) {
  return {
    show: true, size: 5,
    filter: (chart, series, show, gaps) => chart.data[0].length > 120 ? outside.flatMap((is, i) => (is ? [i] : [])) : null,
  };
}

function ring(outside, series) {
  return (chart) => {
    const { ctx } = chart;
    ctx.save();
    ctx.strokeStyle = resolved("--k-fail");
    ctx.lineWidth = 2 * devicePixelRatio;
    outside.forEach((is, i) => {
      const value = chart.data[series][i];
      if (!is || value === null) return;
      ctx.beginPath();
      ctx.arc(chart.valToPos(chart.data[0][i], "x", true), chart.valToPos(value, "y", true), 5 * devicePixelRatio, 0, 7);
      ctx.stroke();
    });
    ctx.restore();
  };
}

/** What is under the pointer, in words below the chart. */
function says(place, time, sentence) {
  return (chart) => {
    const i = chart.cursor.idx;
    place.replaceChildren(...(i === null || i === undefined ? [] : [make("b", {}, time.long(chart.data[0][i])), ` ${sentence(i)}`]));
  };
}

/** The list of the parts of one point: as the table below the chart links it. */
const listOf = (data, i) => `${data.url}&since=${data.since[i]}&until=${data.until[i]}`;

/** A click on a point opens its list. */
function opens(points) {
  return (chart) => chart.over.addEventListener("click", () => {
    const i = chart.cursor.idx;
    if (i !== null && i !== undefined && points.n[i]) location.assign(listOf(points, i));
  });
}

function draw(place, options, data) {
  place.replaceChildren();
  const tzDate = (s) => uPlot.tzDate(new Date(s * 1000), place.dataset.zone);
  return new uPlot({ width: place.clientWidth, height: HEIGHT, tzDate, legend: { show: false }, cursor: { y: false, points: { size: 7 } }, ...options }, data, place);
}

function trend() {
  const place = $("#trend");
  const data = JSON.parse($("#trend-data").textContent);
  const percent = (v) => v === null || v === undefined ? "–" : `${Number((v * 100).toPrecision(3))} %`;
  const time = clock(place, data.at);
  const centre = data.share.map(() => data.centre);
  return draw(place, {
    axes: frame(time, percent),
    scales: { y: { range: (_, low, high) => [0, Math.max(high * 1.1, 0.001)] } },
    series: [
      {},
      { label: place.dataset.share, stroke: resolved("--k-gold-area"), width: 2, spanGaps: true, points: marks(data.outside) },
      dashed(place.dataset.high),
      dashed(place.dataset.low),
      { label: place.dataset.mean, stroke: resolved("--k-dim"), width: 0.75, points: { show: false } },
    ],
    hooks: {
      ready: [opens(data)],
      draw: [ring(data.outside, 1)],
      setCursor: [says($("#trend-said"), time, (i) => say("p_chart_point", { share: percent(data.share[i]), n: data.n[i], low: percent(data.low[i]), high: percent(data.high[i]) }))],
    },
  }, [data.at, data.share, data.high, data.low, centre]);
}

function drift() {
  const place = $("#drift-chart");
  if (!place) return null;
  const data = JSON.parse($("#drift-data").textContent);
  const short = (v) => v === null || v === undefined ? "–" : String(Number(v.toPrecision(3)));
  const time = clock(place, data.at);
  return draw(place, {
    axes: frame(time, short),
    series: [
      {},
      { label: place.dataset.mean, stroke: "transparent", points: { show: true, size: 4, fill: resolved("--k-dim"), stroke: resolved("--k-dim") } },
      { label: place.dataset.ewma, stroke: resolved("--k-gold-area"), width: 2, points: { show: false } },
      dashed(place.dataset.high),
      dashed(place.dataset.low),
    ],
    hooks: {
      ready: [opens(data)],
      draw: [ring(data.outside, 2)],
      setCursor: [says($("#drift-said"), time, (i) => say("ewma_point", { mean: short(data.mean[i]), ewma: short(data.ewma[i]), low: short(data.low[i]), high: short(data.high[i]) }))],
    },
  }, [data.at, data.mean, data.ewma, data.high, data.low]);
}

// --- the same as tables, made when somebody opens them ----------------------------------------
const read = (id) => JSON.parse($(id).textContent);
const percentOf = (v) => v === null || v === undefined ? "–" : `${Number((v * 100).toPrecision(3))} %`;
const shortOf = (v) => v === null || v === undefined ? "–" : String(Number(v.toPrecision(3)));

function rows(data, place, cells) {
  const time = clock(place, data.at);
  return data.at.flatMap((at, i) => data.n[i] ? [[make("a", { href: listOf(data, i) }, time.long(at)), ...cells(i), data.outside[i] ? say("outside") : ""]] : []).reverse();
}

const TABLES = {
  trend() {
    const data = read("#trend-data");
    return [[say("day"), say("called"), say("inspected"), say("share"), say("limits"), ""], rows(data, $("#trend"), (i) => [data.hits[i], data.n[i], percentOf(data.share[i]), `${percentOf(data.low[i])} – ${percentOf(data.high[i])}`])];
  },
  drift() {
    const data = read("#drift-data");
    return [[say("day"), say("passed_parts"), say("mean"), say("smoothed"), say("limits"), ""], rows(data, $("#drift-chart"), (i) => [data.n[i], shortOf(data.mean[i]), shortOf(data.ewma[i]), `${shortOf(data.low[i])} – ${shortOf(data.high[i])}`])];
  },
  places() {
    const cells = [...document.querySelectorAll("[data-cell]")];
    return [[say("row_column"), say("calls"), say("confirmed")], cells.map((cell) => {
      const [row, column, calls, confirmed] = cell.dataset.cell.split(",").map(Number);
      return [make("a", { href: cell.getAttribute("href") }, `${row + 1}, ${column + 1}`), calls, confirmed];
    })];
  },
};

document.addEventListener("toggle", ({ target: details }) => { // does not bubble, but is captured
  if (!details.dataset.table || !details.open) return;
  const [words, lines] = TABLES[details.dataset.table]();
  const cell = (value, i) => make("td", i ? { class: "num", "data-label": words[i] || null } : { class: "nowrap" }, typeof value === "number" ? String(value) : value);
  details.querySelector("div").replaceChildren(make("table", { class: "list" },
    make("thead", {}, make("tr", {}, ...words.map((word, i) => make("th", { scope: "col", class: i ? "num" : null }, word)))),
    make("tbody", {}, ...lines.map((line) => make("tr", {}, ...line.map(cell))))));
}, true);

let charts = [];
function all() {
  charts.forEach((chart) => chart?.destroy());
  charts = $("#trend") ? [trend(), drift()] : [];
}
all();
document.addEventListener("themechange", all);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
let width = innerWidth;
addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; all(); } });

// --- new results: the page is read again, unless somebody is at work in it ---------------------
const LOOK_MS = 60_000; // reviews and single parts tell nobody; nobody looks at a hidden page
const LEAST_MS = 10_000;
const STILL_MS = 30_000; // who has not moved for so long does not read off a chart
let moved = -Infinity;
for (const kind of ["pointermove", "pointerdown", "keydown"])
  document.addEventListener(kind, () => { moved = performance.now(); }, { passive: true });
const atWork = () => document.hidden || $("#today details[open]")
  || $("#today :is(select, input):focus") || performance.now() - moved < STILL_MS;

let asking = false;
const again = calmly(async () => {
  if (asking || atWork()) return;
  asking = true; // an answer that takes long must not come after a newer one
  try {
    const answer = await fetch(location.href, { credentials: "same-origin" });
    if (!answer.ok || answer.redirected) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!atWork()) show(fresh);
  } catch { // the next time asks again
  } finally {
    asking = false;
  }
}, LEAST_MS);

function show(fresh) {
  const parts = ["#today", "#today-models"].map((id) => [$(id), $(id, fresh)]);
  if (parts.some(([here, there]) => !here !== !there)) { location.reload(); return; } // the first results
  const place = document.activeElement?.closest("#today") && document.activeElement.getAttribute("href");
  charts.forEach((chart) => chart?.destroy());
  charts = [];
  for (const [here, there] of parts) here?.replaceWith(document.adoptNode(there));
  all();
  if (place) $(`#today [href="${CSS.escape(place)}"]`)?.focus({ preventScroll: true });
}

if ("grows" in $("#today").dataset) {
  watch(["jobs"], (job) => { if (job.kind === "batch") again(); });
  setInterval(again, LOOK_MS);
  document.addEventListener("visibilitychange", again);
}
