// The time to learn: a slider that feels even from seconds to hours, and what it means.
import { $, $$, calmly, getJson } from "./kit.js";

const LEAST = 0.2, MOST = 600;
const slider = $("#budget-slider"), field = $("#id_budget_minutes");
let touched = false;

const toMinutes = (place) => LEAST * (MOST / LEAST) ** (place / 100);
const toPlace = (minutes) => 100 * Math.log(Math.max(minutes, LEAST) / LEAST) / Math.log(MOST / LEAST);
const round = (minutes) => (minutes < 2 ? Math.round(minutes * 10) / 10 : minutes < 20 ? Math.round(minutes) : Math.round(minutes / 5) * 5);

const ask = calmly(async () => {
  const preset = $("input[name=preset]:checked")?.value || "compact", minutes = Number(field.value);
  const answer = minutes > 0 ? await getJson(`${$("#train").dataset.expected}?preset=${preset}&minutes=${minutes}`).catch(() => null) : null;
  $("#expected-time").textContent = answer?.words || "–";
}, 250);

function tell() {
  slider.value = toPlace(Number(field.value) || LEAST);
  ask();
}

slider.addEventListener("input", () => { touched = true; field.value = round(toMinutes(Number(slider.value))); tell(); });
field.addEventListener("input", () => { touched = true; tell(); });
for (const choice of $$("input[name=preset]"))
  choice.addEventListener("change", () => { if (!touched) field.value = choice.dataset.minutes; tell(); });
tell();
