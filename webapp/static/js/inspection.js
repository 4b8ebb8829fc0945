// Original, restored and heatmap in one viewport, so that they stay aligned at any zoom.
import { $, $$, typing } from "./kit.js";

const place = $("#viewer"), data = place.dataset;
const shown = { original: true, restored: false, heatmap: sessionStorage.getItem("kintsugi-heatmap") !== "off", regions: true };
const slider = $("#opacity");
slider.value = sessionStorage.getItem("kintsugi-opacity") || slider.value;

/** Plain grey in the picture's shape: blended as saturation it takes the colour out of the part. */
function grey() {
  const canvas = document.createElement("canvas");
  canvas.width = 64;
  canvas.height = Math.max(1, Math.round(64 * data.height / data.width));
  const context = canvas.getContext("2d");
  context.fillStyle = "#808080";
  context.fillRect(0, 0, canvas.width, canvas.height);
  return canvas.toDataURL();
}

const layer = (url) => ({ tileSource: { type: "image", url, buildPyramid: false }, x: 0, y: 0, width: 1 });
data.dull = grey();
const viewer = OpenSeadragon({
  element: place, drawer: "canvas", showNavigationControl: false, visibilityRatio: 0.6, minZoomImageRatio: 0.8,
  maxZoomPixelRatio: 12, animationTime: 0.3, gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
  tileSources: [layer(data.original), layer(data.restored), { ...layer(data.dull), compositeOperation: "saturation" }, layer(data.heatmap)],
});
const LAYERS = ["original", "restored", "dull", "heatmap"];
const found = {};

viewer.world.addHandler("add-item", () => {
  for (let i = 0; i < viewer.world.getItemCount(); i++) {
    const item = viewer.world.getItemAt(i);
    const name = LAYERS.find((one) => item.source.url?.endsWith(data[one]));
    if (name) found[name] = item;
  }
  apply();
  if (Object.keys(found).length === LAYERS.length) ready();
});

function ready() {
  const height = found.original.getContentSize().y / found.original.getContentSize().x;
  for (const name of LAYERS.slice(1)) { // the same frame, even where a side was rounded
    found[name].setPosition(new OpenSeadragon.Point(0, 0), true);
    found[name].setWidth(1, true);
  }
  LAYERS.forEach((name, i) => viewer.world.setItemIndex(found[name], i));
  if (!$$(".osd-region", place).length) outlines(height);
  place.dataset.ready = "yes";
}

function apply() {
  const opacity = { original: shown.original ? 1 : 0, restored: shown.restored ? 1 : 0,
    dull: shown.heatmap ? 0.75 * Math.min(1, slider.value / 50) : 0,
    heatmap: shown.heatmap ? slider.value / 100 : 0 };
  for (const [name, item] of Object.entries(found)) item.setOpacity(opacity[name]);
  for (const button of $$("[data-layer]")) button.setAttribute("aria-pressed", shown[button.dataset.layer]);
  place.classList.toggle("no-regions", !shown.regions);
}

function outlines(height) {
  // The outlines as one drawing that lies on the picture, and a number at each.
  const drawing = $("#regions svg");
  if (drawing) viewer.addOverlay({ element: drawing, location: new OpenSeadragon.Rect(0, 0, 1, height) });
  for (const region of $$("#regions span")) {
    const { x, y, width, height: tall } = region.dataset;
    const box = document.createElement("div");
    box.className = "osd-region";
    const number = document.createElement("b");
    number.textContent = region.textContent;
    box.append(number);
    viewer.addOverlay({ element: box, location: new OpenSeadragon.Rect(Number(x), y * height, Number(width), tall * height) });
  }
}

function show(name) {
  if (name === "original" || name === "restored") { shown.original = name === "original"; shown.restored = name === "restored"; }
  else shown[name] = !shown[name];
  sessionStorage.setItem("kintsugi-heatmap", shown.heatmap ? "on" : "off");
  apply();
}

for (const button of $$("[data-layer]")) button.addEventListener("click", () => show(button.dataset.layer));
slider.addEventListener("input", () => {
  shown.heatmap = Number(slider.value) > 0;
  sessionStorage.setItem("kintsugi-opacity", slider.value);
  apply();
});
const zoom = { in: () => viewer.viewport.zoomBy(1.5), out: () => viewer.viewport.zoomBy(1 / 1.5), home: () => viewer.viewport.goHome() };
for (const button of $$("[data-zoom]")) button.addEventListener("click", () => { zoom[button.dataset.zoom](); viewer.viewport.applyConstraints(); });
for (const button of $$("[data-region]"))
  button.addEventListener("click", () => {
    const { x, y, width, height } = $$("#regions span")[Number(button.dataset.region)].dataset;
    const ratio = found.original.getContentSize().y / found.original.getContentSize().x;
    const margin = 2.5, w = Math.max(width, 0.12) * margin, h = Math.max(height * ratio, 0.12) * margin;
    viewer.viewport.fitBounds(new OpenSeadragon.Rect(Number(x) + width / 2 - w / 2, (Number(y) + height / 2) * ratio - h / 2, w, h));
    for (const crop of $$("[data-crop]")) crop.setAttribute("viewBox", button.dataset.box); // the good parts at the same place
  });

document.addEventListener("keydown", (event) => {
  if (typing(event)) return;
  const name = { 1: "original", 2: "restored", 3: "heatmap", 4: "regions" }[event.key];
  if (name) show(name);
  if (event.key === "0") zoom.home();
});
apply();
