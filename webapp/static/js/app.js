// The frame of every page: theme, keys, menus, and the status bar of all running work.
import { $, $$, duration, getJson, make, percent, say, tell, typing } from "./kit.js";
import { heard, watch } from "./live.js";

const actions = {
  theme() {
    const next = document.documentElement.getAttribute("data-bs-theme") === "dark" ? "light" : "dark";
    localStorage.setItem("kintsugi-theme", next);
    document.documentElement.setAttribute("data-bs-theme", next);
    document.dispatchEvent(new Event("themechange"));
  },
  keys() { // only those that do something on this page
    for (const line of $$("#keys [data-needs]")) line.hidden = !$(line.dataset.needs);
    $("#keys").showModal();
  },
  dismiss: (button) => button.closest(".toast-line").remove(),
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-action]");
  if (button && actions[button.dataset.action]) actions[button.dataset.action](button);
  for (const menu of $$("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  if (event.target.tagName === "DIALOG" && event.target.classList.contains("box")) event.target.close();
});

// A form that asks before it does something that cannot be undone, and that is sent once: a
// double click must not start two runs.
document.addEventListener("submit", (event) => {
  const form = event.target, question = form.dataset.confirm;
  if (event.defaultPrevented || form.method !== "post") return;
  if (form.dataset.sent || (question && !confirm(question))) { event.preventDefault(); return; }
  form.dataset.sent = "yes";
  setTimeout(() => delete form.dataset.sent, 10000); // the answer never came: it may be tried again
});

for (const message of $$(".toast-line.v-pass")) setTimeout(() => message.remove(), 6000);

// --- product, line, period: chosen once, kept while one goes about in this tab ---------------
document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-auto]");
  if (form && !event.target.closest("input[type=date]")) form.requestSubmit();
});
document.addEventListener("focusout", (event) => { // a date is typed digit by digit
  const date = event.target.closest("form[data-auto] input[type=date]");
  if (date && date.value !== date.defaultValue) date.form.requestSubmit();
});
const SCOPE = ["product", "line", "station", "period", "since", "until"];
const address = new URLSearchParams(location.search);
if (SCOPE.some((name) => address.has(name))) {
  for (const name of [...address.keys()]) if (!SCOPE.includes(name) || !address.get(name)) address.delete(name);
  sessionStorage.setItem("kintsugi-scope", address.toString());
} else if (sessionStorage.getItem("kintsugi-scope")) {
  for (const link of $$("a[data-scoped]")) link.search = sessionStorage.getItem("kintsugi-scope");
}
// A station that is locked in one tab shows nothing in the others either.
addEventListener("storage", (event) => { if (event.key === "kintsugi-locked") location.reload(); });

// --- keys ---------------------------------------------------------------------------------
function step(by) {
  // The closed bell has lines too: what cannot be seen takes no focus, and would hold it back.
  const things = $$("[data-step]").filter((one) => one.checkVisibility({ visibilityProperty: true }));
  if (!things.length) return;
  const here = things.indexOf(document.activeElement);
  const next = things[Math.min(things.length - 1, Math.max(0, here < 0 ? (by > 0 ? 0 : things.length - 1) : here + by))];
  next.focus();
  next.scrollIntoView({ block: "nearest" });
}

document.addEventListener("keydown", (event) => {
  if (typing(event)) return;
  if (event.key === "?") { actions.keys(); event.preventDefault(); }
  if (event.key === "/" && $("[data-search]")) { $("[data-search]").focus(); event.preventDefault(); }
  const shortcut = /^[a-z]$/.test(event.key) && $(`[data-key="${event.key}"]`);
  if (shortcut) { shortcut.click(); event.preventDefault(); }
  if (event.key === "j") step(1);
  if (event.key === "k") step(-1);
});

// --- all running work ---------------------------------------------------------------------
const jobs = new Map();
const WORDS = { queued: say("job_queued"), paused: say("job_paused"), cancelling: say("job_cancelling") };
const goes = (job) => ["running", "queued", "paused", "cancelling"].includes(job.state)
  || (["open", "scoring"].includes(job.state) && job.fraction !== null && job.fraction < 1); // a batch

function titleOf(job) {
  if (job.kind === "export") return say("job_export");
  if (job.kind === "upload") return say("job_upload", { place: job.title });
  return job.kind === "training" ? say("job_training", { n: job.number, product: job.title }) : job.title;
}

function line(job) {
  const parts = [make("a", { href: job.url }, make("b", {}, titleOf(job)))];
  if (job.fraction !== null && job.fraction !== undefined && ["running", "scoring", "open"].includes(job.state))
    parts.push(make("progress", { class: "bar", max: 1, value: job.fraction }), make("span", {}, job.kind === "batch" ? say("scored_of", { n: job.scored, total: job.total }) : job.kind === "export" ? say("rows_of", { n: count(job.rows), total: count(job.total) }) : percent(job.fraction)));
  const word = WORDS[job.state] || (job.eta_s ? say("left", { time: duration(job.eta_s) }) : "");
  if (word) parts.push(make("span", {}, word));
  return make("span", { class: "status-job" }, ...parts);
}

function draw() {
  const place = $("#status-jobs");
  if (!place) return;
  const running = [...jobs.values()].filter(goes);
  running.sort((a, b) => (a.state === "running" ? 0 : 1) - (b.state === "running" ? 0 : 1));
  const list = $("#running-now"); // the Today page shows all of it
  list?.replaceChildren(...running.map((job) => make("div", { class: "line" }, line(job))),
    ...(running.length ? [] : [make("p", { class: "dim mb-0" }, say("nothing_runs"))]));
  if (!running.length) { place.replaceChildren(make("span", {}, say("nothing_runs"))); return; }
  const shown = running.slice(0, innerWidth > 1200 ? 3 : 1).map(line);
  if (running.length > shown.length) shown.push(make("a", { href: "/jobs/" }, say("more_jobs", { n: running.length - shown.length })));
  place.replaceChildren(...shown);
}

const count = (n) => n.toLocaleString(document.documentElement.lang);
// A file that is written while the browser loads it has no row to ask: what is told of it is all.
const SILENT_MS = 30000; // then its process is gone
function hearOfExport(job) {
  if (job.state === "running") {
    clearTimeout(jobs.get(job.id)?.silent);
    jobs.set(job.id, { ...job, silent: setTimeout(() => { jobs.delete(job.id); draw(); }, SILENT_MS) });
  } else {
    const seen = jobs.delete(job.id); // a short one is there before it could be told
    if (job.state === "stopped") tell(say("export_stopped", { n: count(job.rows), total: count(job.total) }));
    else if (seen) tell(say("export_done", { n: count(job.rows) }), "v-pass", "circle-check");
  }
  draw();
}

async function fetchJobs() {
  try {
    const answer = await getJson(document.body.dataset.running);
    for (const [id, job] of jobs) if (job.kind !== "export") jobs.delete(id);
    for (const job of answer.jobs) jobs.set(job.id, job);
    heard(true);
    draw();
  } catch (error) { // the next connect or poll asks again
    heard(!(error instanceof TypeError) && !/^50[234]$/.test(error.message));
  }
}

if (document.body.dataset.running) {
  watch(["jobs"], (job) => { jobs.set(job.id, job); draw(); }, fetchJobs);
  watch(["me"], (push) => { if (push.type === "export") hearOfExport(push); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) fetchJobs(); });
}
