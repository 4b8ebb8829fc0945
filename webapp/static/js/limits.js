// Limits by slider, by dragging their lines or by typing rates; what they mean comes from the server.
import { $, $$, calmly, tell, say } from "./kit.js";

const chart = $("#limit-chart"), svg = $("svg", chart), form = $("#limit-form"), save = $("#limit-save");
const { low, high, steps, fail, review } = JSON.parse($("#limit-steps").textContent);
const LINES = ["review", "fail"]; // in the order in which they lie
const slider = Object.fromEntries(LINES.map((name) => [name, $(`#slider-${name}`)]));
const field = Object.fromEntries(LINES.map((name) => [name, $(`#rate-${name}`)]));
const chosen = { review: nearest(review), fail: nearest(fail) };

/** The step whose limit is closest to a score; steps go from loose to tight. */
function nearest(score) {
  let best = 0;
  steps.forEach((step, i) => { if (Math.abs(step.threshold - score) < Math.abs(steps[best].threshold - score)) best = i; });
  return best;
}

/** The loosest step that keeps a typed rate, in per cent. */
function within(rate) {
  const kept = steps.findIndex((step) => Number(step.rate) <= rate);
  return kept < 0 ? steps.length - 1 : kept;
}

const place = (score) => Math.min(100, Math.max(0, 100 * (score - low) / (high - low)));
const words = (score) => Number(score.toPrecision(3)).toString();

function draw() {
  for (const name of LINES) {
    const step = steps[chosen[name]], at = `${place(step.threshold)}%`, line = $(`[data-line=${name}]`, svg);
    for (const one of $$("line", line)) { one.setAttribute("x1", at); one.setAttribute("x2", at); }
    $("circle", line).setAttribute("cx", at);
    const word = $("text", line);
    word.setAttribute("x", at);
    const left = name === "review" ? place(step.threshold) >= 12 : place(step.threshold) > 88;
    word.setAttribute("text-anchor", left ? "end" : "start");
    word.setAttribute("dx", left ? -5 : 5);
    slider[name].value = chosen[name];
    slider[name].setAttribute("aria-valuetext", `${words(step.threshold)}, ${step.rate} %`);
    $(`#said-${name}`).textContent = words(step.threshold);
  }
  const [from, to] = [place(steps[chosen.review].threshold), place(steps[chosen.fail].threshold)];
  $(".band-pass", svg).setAttribute("width", `${from}%`);
  $(".band-review", svg).setAttribute("x", `${from}%`);
  $(".band-review", svg).setAttribute("width", `${to - from}%`);
  $(".band-fail", svg).setAttribute("x", `${to}%`);
  $(".band-fail", svg).setAttribute("width", `${100 - to}%`);
}

let asked = 0;
const ask = calmly(async () => {
  const query = new URLSearchParams(new FormData(form)), number = ++asked, box = $("#limit-figures");
  box.classList.add("stale");
  const answer = await fetch(`${chart.dataset.figures}?${query}`, { credentials: "same-origin" }).catch(() => null);
  if (number !== asked) return; // a later question is on its way
  box.classList.remove("stale");
  if (!answer?.ok || answer.redirected) { tell(say("server_answered", { status: answer?.status ?? "–" })); return; }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  box.replaceChildren(...page.body.childNodes);
  history.replaceState(null, "", `?${query}`);
}, 150);

/** Move a line; the other one gives way, so that review never lies above fail. */
function choose(name, index) {
  chosen[name] = Math.min(steps.length - 1, Math.max(0, index));
  if (name === "review") chosen.fail = Math.max(chosen.fail, chosen.review);
  else chosen.review = Math.min(chosen.review, chosen.fail);
  for (const line of LINES) field[line].value = steps[chosen[line]].rate;
  told();
}

function told() {
  draw();
  if (save) for (const line of LINES) save.elements[line].value = field[line].value;
  ask();
}

for (const name of LINES) {
  slider[name].addEventListener("input", () => choose(name, Number(slider[name].value)));
  field[name].addEventListener("input", () => {
    const rate = Number(field[name].value);
    if (!(rate > 0)) return;
    chosen[name] = within(rate);
    told();
  });
}
for (const name of ["defects", "lots"]) form.elements[name].addEventListener("input", ask);
form.addEventListener("submit", (event) => { event.preventDefault(); ask(); });

// --- the mouse, or a finger ---------------------------------------------------------------
let held = null;
const score = (event) => {
  const frame = svg.getBoundingClientRect();
  return low + (high - low) * (event.clientX - frame.left) / frame.width;
};
svg.addEventListener("pointerdown", (event) => {
  const line = event.target.closest("[data-line]");
  if (!line || event.button) return;
  event.preventDefault();
  held = line;
  line.classList.add("held");
  svg.setPointerCapture(event.pointerId);
  slider[line.dataset.line].focus({ preventScroll: true });
});
svg.addEventListener("pointermove", (event) => { if (held) choose(held.dataset.line, nearest(score(event))); });
for (const end of ["pointerup", "pointercancel"])
  svg.addEventListener(end, () => { held?.classList.remove("held"); held = null; });

draw();
chart.dataset.ready = "yes";
