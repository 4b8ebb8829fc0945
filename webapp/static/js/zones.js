// Repair zones: drawn on the picture or typed; the fields are what is sent.
import { $, $$, say } from "./kit.js";

const SIDES = ["x", "y", "width", "height"];
const SMALLEST = 0.5; // per cent; less is a click
const picture = $("#zone-picture"), svg = $("svg", picture), rows = $("#zone-rows");
const most = Number($("#zone-form").dataset.most);

const field = (row, side) => $(`input[name=${side}]`, row);
const values = (row) => SIDES.map((side) => parseFloat(field(row, side).value.replace(",", ".")));
const isEmpty = (row) => SIDES.every((side) => !field(row, side).value.trim());
const rounded = (value) => String(Math.round(value * 100) / 100);
const inside = (value) => Math.min(100, Math.max(0, value));

function fill(row, zone) {
  SIDES.forEach((side, i) => { field(row, side).value = rounded(zone[i]); });
}

function shape(zone, kind = "") {
  const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  SIDES.forEach((side, i) => rect.setAttribute(side, zone[i]));
  if (kind) rect.setAttribute("class", kind);
  return rect;
}

function draw(drawing = null) {
  const zones = $$("[data-zone]", rows).filter((row) => values(row).every((value) => value >= 0));
  const marked = document.activeElement?.closest("[data-zone]");
  svg.replaceChildren(...zones.map((row) => shape(values(row), row === marked ? "marked" : "")), ...(drawing ? [shape(drawing, "drawing")] : []));
  $("#zone-count").textContent = zones.length;
}

function number() {
  $$("[data-zone]", rows).forEach((row, i) => {
    $(".zone-number", row).textContent = i + 1;
    row.setAttribute("aria-label", say("zone", { n: i + 1 }));
    $("[data-remove]", row).setAttribute("aria-label", say("zone_remove", { n: i + 1 }));
  });
}

/** A row to fill: an empty one that is there, or a new one; none where there are too many. */
function free() {
  const all = $$("[data-zone]", rows), empty = all.find(isEmpty);
  if (empty || all.length >= most) return empty;
  const row = all[0].cloneNode(true);
  for (const side of SIDES) field(row, side).value = "";
  rows.append(row);
  number();
  return row;
}

// --- the mouse, or a finger ---------------------------------------------------------------
let start = null;
function place(event) {
  const frame = picture.getBoundingClientRect();
  return [inside(100 * (event.clientX - frame.left) / frame.width), inside(100 * (event.clientY - frame.top) / frame.height)];
}
const between = ([ax, ay], [bx, by]) => [Math.min(ax, bx), Math.min(ay, by), Math.abs(ax - bx), Math.abs(ay - by)];

picture.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  event.preventDefault();
  start = place(event);
  picture.setPointerCapture(event.pointerId);
});
picture.addEventListener("pointermove", (event) => { if (start) draw(between(start, place(event))); });
picture.addEventListener("pointerup", (event) => {
  if (!start) return;
  const zone = between(start, place(event)), row = Math.min(zone[2], zone[3]) >= SMALLEST ? free() : null;
  start = null;
  if (row) fill(row, zone);
  draw();
});
picture.addEventListener("pointercancel", () => { start = null; draw(); });

// --- the keyboard -------------------------------------------------------------------------
$("#zone-add").addEventListener("click", () => { const row = free(); if (row) field(row, "x").focus(); });
rows.addEventListener("input", () => draw());
rows.addEventListener("focusin", () => draw());
rows.addEventListener("click", (event) => {
  const row = event.target.closest("[data-remove]")?.closest("[data-zone]");
  if (!row) return;
  if ($$("[data-zone]", rows).length > 1) row.remove();
  else for (const side of SIDES) field(row, side).value = "";
  number();
  draw();
});
number();
draw();
picture.dataset.ready = "yes";
