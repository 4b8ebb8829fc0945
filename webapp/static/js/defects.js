// Defects: filters that apply as they are chosen, and keys for the hands that stay on them.
import { $, $$, typing } from "./kit.js";

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
form.addEventListener("change", (event) => {
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
