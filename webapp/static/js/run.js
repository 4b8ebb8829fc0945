// A training run while it runs. Pushes say "look"; the row says what is true.
import { $, $$, calmly, duration, getJson, icon, make, percent, say, settled } from "./kit.js";
import { Curves } from "./curves.js";
import { watch } from "./live.js";

const root = $("#run");
const HINTS = Object.fromEntries($$(".stage").map((stage) => [stage.dataset.stage, stage.title]));
let state = root.dataset.state;
const curves = new Curves($("#curves"), $("#curves-more"));

const UNITS = { steps: say("unit_steps"), pictures: say("unit_pictures") };
const speed = ({ rate, unit = "steps" }) => say("rate", { rate: Number(rate).toPrecision(3), unit: UNITS[unit] || unit });

// A step that no plan names, as the server says it.
const spoken = (stage) => (stage || "").replaceAll("_", " ").replace(/^./, (first) => first.toUpperCase());

function progress(now) {
  const { progress: value, stage } = now;
  if (value.fraction !== undefined) $("#run-bar").value = value.fraction;
  else $("#run-bar").removeAttribute("value"); // nothing is known of this attempt yet
  const word = $(`.stage[data-stage="${stage}"] .stage-word`)?.textContent || spoken(stage);
  $("#run-words").textContent = now.note ? now.note : !stage ? say("run_starting")
    : value.fraction === undefined ? word : say("of_the_run", { stage: word, percent: percent(value.fraction) });
  $("#run-rate").textContent = value.step !== undefined && value.steps
    ? [say("step_of", value), value.rate ? speed(value) : ""].filter(Boolean).join(" · ") : "";
  $("#run-eta").textContent = now.state === "running" && value.eta_total_s !== undefined && value.eta_total_s !== null ? say("about_left", { time: duration(value.eta_total_s) }) : "";
  $("#run-hint").textContent = HINTS[stage] || "";
}

function stages(list) {
  $("#stages").replaceChildren(...list.map((one) =>
    make("li", { class: `stage stage-${one.state}`, "data-stage": one.name, title: one.hint },
      make("span", { class: "stage-dot" }, icon("check", "s")), make("span", { class: "stage-word" }, one.word))));
}

function sample(id, words) {
  const picture = $("#sample"), address = `/files/samples/${id}.webp`;
  if (!id || picture.getAttribute("src") === address) return;
  picture.src = address;
  picture.hidden = false;
  picture.alt = say("samples");
  $("#sample-none")?.remove();
  if (words) $("#sample-words").textContent = words;
}

async function refresh() {
  const now = await getJson(root.dataset.stateUrl).catch(() => null);
  if (!now) return;
  if (now.state !== state && (["done", "failed", "cancelled", "paused"].includes(now.state) || state === "paused")) {
    await settled(); // a page drawn before a decision arrived would not show it
    location.reload(); // other buttons, other sentences: let the server say them
    return;
  }
  state = now.state;
  stages(now.stages);
  progress(now);
  sample(now.sample, now.sample_words);
  const sign = make("span", { class: `tag ${now.sign.tone}`, "data-sign": now.sign.key }, icon(now.sign.icon, "s"), now.sign.word);
  $("#run-sign").replaceChildren(sign);
}

async function readCurves() {
  const known = await getJson(root.dataset.metricsUrl).catch(() => null);
  if (!known) return; // what was drawn stays
  curves.take(known);
  drawCurves();
}

function drawCurves() {
  $("#curves-none").hidden = curves.any;
  const chips = curves.stages().map((stage) => {
    const word = $(`.stage[data-stage="${stage}"] .stage-word`)?.textContent || stage;
    const chip = make("button", { class: "chip", type: "button", "aria-pressed": String(stage === curves.stage) }, word);
    chip.addEventListener("click", () => { curves.choose(stage); drawCurves(); });
    return chip;
  });
  $("#curve-stages").replaceChildren(...(chips.length > 1 ? chips : []));
  curves.draw();
  table();
}

function table() {
  const { names, rows } = curves.table(60);
  const place = $("#curve-table");
  place.hidden = !rows.length;
  if (!place.open) return;
  $("thead", place).replaceChildren(make("tr", {}, ...[say("step"), ...names].map((name) => make("th", { class: "num" }, name.replaceAll("_", " ")))));
  $("tbody", place).replaceChildren(...rows.map((row) => make("tr", {}, ...row.map((value, i) =>
    make("td", { class: "num", "data-label": i ? names[i - 1].replaceAll("_", " ") : say("step") }, value === null || value === undefined ? "–" : i ? Number(value).toPrecision(4) : String(value))))));
}
$("#curve-table").addEventListener("toggle", table);
$("#curves-more").addEventListener("toggle", () => curves.draw(true));

function logLines(lines) {
  const place = $("#log"), down = place.scrollHeight - place.scrollTop - place.clientHeight < 40;
  for (const line of lines) {
    const at = new Date(line.at);
    place.append(make("div", { class: `log-line log-${line.level}` }, make("time", {}, at.toISOString().slice(11, 19)), ` ${line.message}`));
  }
  while (place.children.length > 400) place.firstElementChild.remove();
  if (down) place.scrollTop = place.scrollHeight;
}

async function readLog() {
  const answer = await fetch(root.dataset.logUrl, { credentials: "same-origin" }).catch(() => null);
  if (!answer?.ok || answer.redirected) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  $("#log").replaceChildren(...page.body.childNodes);
  $("#log").scrollTop = $("#log").scrollHeight;
}

const later = calmly(refresh, 1000), drawLater = calmly(drawCurves, 1000);
const on = {
  progress(push) { progress({ ...push, progress: push }); if (push.stage !== $(".stage-started")?.dataset.stage) later(); },
  metrics(push) { curves.add(push.stage, push.step, push.values); drawLater(); },
  samples: later, state: later,
  log: (push) => logLines(push.lines),
};

function everything() { refresh(); readCurves(); readLog(); }
watch([`run:${root.dataset.id}`], (push) => on[push.type]?.(push), everything);
// A worker that died says nothing: that it is silent is seen by asking.
setInterval(() => { if (!document.hidden && ["running", "queued"].includes(state)) refresh(); }, 10000);
document.addEventListener("themechange", () => curves.draw(true));
addEventListener("resize", calmly(() => curves.draw(true), 300));
$("#log").scrollTop = $("#log").scrollHeight;
