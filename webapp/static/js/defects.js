// Defects: filters that apply as they are chosen, and keys for the hands that stay on them.
import { $, $$, say, typing } from "./kit.js";

const form = $("#filter-form"), panel = $("#filter-panel"), tiles = $("#tiles");
const narrow = matchMedia("(max-width: 999.98px)");

// On a phone the filters are in the way until they are wanted.
panel.open = !narrow.matches;
narrow.addEventListener("change", () => { panel.open = !narrow.matches; });

// What is not asked for does not belong in the address.
form.addEventListener("submit", () => {
  for (const field of $$("input, select", form)) field.disabled = !field.value;
});
addEventListener("pageshow", () => { for (const field of $$("[disabled]", form)) field.disabled = false; });

// A choice is made at once; what is typed waits for Enter. Radios change while arrow keys walk
// over them, so a place is taken by a click, Enter or Space.
// What was chosen of one product means nothing to the next.
form.addEventListener("change", (event) => {
  if (event.target.name === "product") for (const field of $$("[data-of-product]", form)) field.value = field.value === "none" ? "none" : "";
  if (event.target.matches("select, [type=checkbox]")) form.requestSubmit();
});
for (const place of $$(".place-grid input")) {
  const was = place.checked;
  place.addEventListener("click", (event) => {
    if (!event.detail) return; // an arrow key
    if (was) place.checked = false; // a second click takes it away
    form.requestSubmit();
  });
  place.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    place.checked = !was;
    form.requestSubmit();
  });
}

document.addEventListener("keydown", (event) => {
  if (typing(event)) return;
  const link = { "[": $("#newer"), "]": $("#older") }[event.key];
  if (link) link.click();
});

// --- heatmaps on the tiles, loaded when they are wanted ------------------------------------
const toggle = $("#heat-toggle");
function showHeat(on) {
  tiles.classList.toggle("show-heat", on);
  toggle.setAttribute("aria-pressed", on);
  sessionStorage.setItem("kintsugi-heat", on ? "1" : "");
  if (!on) return;
  for (const layer of $$("img.heat[data-src]", tiles)) { layer.loading = "lazy"; layer.src = layer.dataset.src; layer.removeAttribute("data-src"); }
}
if (toggle && tiles) {
  toggle.addEventListener("click", () => showHeat(!tiles.classList.contains("show-heat")));
  showHeat(sessionStorage.getItem("kintsugi-heat") === "1");
}

// --- what is picked ------------------------------------------------------------------------
const bulk = $("#bulk"), boxes = bulk ? $$("input[name=inspection]", bulk) : [];
const all = $("#pick-all");

function picked() {
  const n = boxes.filter((box) => box.checked).length;
  bulk.classList.toggle("bulk-on", n > 0);
  for (const place of ["#bulk-count", "#bulk-said"]) $(place).textContent = say("picked", { n });
  all.setAttribute("aria-pressed", n === boxes.length);
  for (const button of $$("[data-bulk]", bulk)) button.disabled = !n; // its key does nothing then
}

function pickAll(on) {
  for (const box of boxes) box.checked = on;
  picked();
}

if (boxes.length) {
  bulk.addEventListener("change", picked);
  all.addEventListener("click", () => pickAll(!boxes.every((box) => box.checked)));
  $("#pick-none").addEventListener("click", () => pickAll(false));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "x" || typing(event)) return;
    const place = document.activeElement.closest(".pick-tile, tr");
    const box = place && $("input[name=inspection]", place);
    if (!box) return;
    box.checked = !box.checked;
    picked();
  });
  addEventListener("pageshow", picked); // a browser that goes back keeps its ticks
}

// Back from a part: the eyes and the keys are where they were.
const last = /\/inspections\/([0-9a-f-]{36})\//.exec(document.referrer)?.[1];
if (last) document.getElementById(`i-${last}`)?.focus();
