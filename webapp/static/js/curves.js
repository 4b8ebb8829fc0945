// Loss curves with uPlot: a small chart per value, the newest stage first.
import { $$, chartFont, make, resolved, say } from "./kit.js";

const CALM = ["loss", "total"];

export class Curves {
  /** `more` is a disclosure for the values that only an expert reads. */
  constructor(place, more) {
    Object.assign(this, { place, more, data: new Map(), stage: null, chosen: false, charts: new Map() });
  }

  get any() { return this.data.size > 0; }
  stages() { return [...this.data.keys()]; }

  /** All that the server knows. */
  take(curves) {
    this.data = new Map();
    for (const [stage, { steps, values }] of Object.entries(curves)) {
      const rows = new Map(steps.map((step, i) => [step, Object.fromEntries(Object.entries(values).map(([name, list]) => [name, list[i]]))]));
      this.data.set(stage, rows);
    }
    this.pick();
  }

  add(stage, step, values) {
    if (!this.data.has(stage)) this.data.set(stage, new Map());
    this.data.get(stage).set(step, values); // a step done again takes the place of the old one
    this.pick();
  }

  pick() {
    if (this.chosen && this.data.has(this.stage)) return;
    this.stage = this.data.has("inpaint") ? "inpaint" : [...this.data.keys()].at(-1) ?? null;
  }

  choose(stage) { this.stage = stage; this.chosen = true; this.draw(true); }

  columns() {
    const rows = [...(this.data.get(this.stage) || new Map()).entries()].sort((a, b) => a[0] - b[0]);
    const names = [...new Set(rows.flatMap(([, values]) => Object.keys(values)))];
    names.sort((a, b) => CALM.includes(b) - CALM.includes(a) || a.localeCompare(b));
    return { rows, names };
  }

  table(most) {
    const { rows, names } = this.columns();
    return { names, rows: rows.slice(-most).reverse().map(([step, values]) => [step, ...names.map((name) => values[name])]) };
  }

  draw(afresh = false) {
    if (typeof uPlot === "undefined") return;
    const { rows, names } = this.columns();
    if (afresh || this.drawn !== `${this.stage}|${names}`) {
      for (const chart of this.charts.values()) chart.destroy();
      this.charts.clear();
      for (const place of [this.place, ...$$(".curves", this.more)]) place.replaceChildren();
      this.drawn = `${this.stage}|${names}`;
    }
    if (!rows.length) return;
    const steps = rows.map(([step]) => step);
    const plain = names.some((name) => CALM.includes(name)) ? CALM : names.slice(0, 1);
    this.more.hidden = names.every((name) => plain.includes(name));
    for (const name of names) {
      if (!plain.includes(name) && !this.more.open) continue; // it has no width while it is folded
      const series = [steps, rows.map(([, values]) => values[name] ?? null)];
      if (this.charts.has(name)) this.charts.get(name).setData(series);
      else this.charts.set(name, this.chart(name, series, plain.includes(name)));
    }
  }

  chart(name, series, plain) {
    const told = CALM.includes(name) ? say("curve_loss") : name.replaceAll("_", " ");
    const box = make("figure", { class: "curve" }, make("figcaption", {}, told));
    (plain ? this.place : $$(".curves", this.more)[0]).append(box);
    const colour = (token) => resolved(token);
    const axis = { stroke: colour("--k-dim"), grid: { stroke: colour("--k-line"), width: 1 }, ticks: { show: false }, font: chartFont(), size: 26 };
    return new uPlot({
      width: box.clientWidth, height: 150, cursor: { y: false, points: { size: 6 } }, legend: { show: false },
      scales: { x: { time: false } },
      axes: [{ ...axis, space: 60 }, { ...axis, size: 48, space: 30, values: (_, splits) => splits.map((v) => Number(v.toPrecision(3))) }],
      series: [{}, { stroke: colour("--k-gold"), width: 1.75, spanGaps: true, points: { show: series[0].length < 30, size: 5 } }],
    }, series, box);
  }
}
