// One inspection's pictures, with the keys of its page.
import { $, $$, typing } from "./kit.js";
import { PartViewer } from "./viewer.js";

const place = $("#viewer");
const regions = $$("#regions span").map((span) => ({ ...span.dataset, name: span.textContent }));
const viewer = new PartViewer(place, $("#opacity"));
viewer.open({ ...place.dataset, tiles: JSON.parse(place.dataset.tiles), regions, drawing: $("#regions svg") });

for (const button of $$("[data-region]"))
  button.addEventListener("click", () => {
    viewer.goTo(regions[Number(button.dataset.region)]);
    for (const crop of $$("[data-crop]")) crop.setAttribute("viewBox", button.dataset.box); // the good parts at the same place
  });

document.addEventListener("keydown", (event) => {
  if (typing(event)) return;
  const name = { 1: "original", 2: "restored", 3: "heatmap", 4: "regions" }[event.key];
  if (name) viewer.show(name);
  if (event.key === "0") viewer.zoom("home");
});
