// Tiles that arrive while a batch is scored; counts and buttons come from the server.
import { $, $$, calmly } from "./kit.js";
import { watch } from "./live.js";

const root = $("#batch"), tiles = $("#tiles");
const { verdict, order } = root.dataset;
const query = `verdict=${verdict}&order=${order}`;
const wanted = new Set();
const KEPT = 3000; // tiles on the page; older ones are behind "more"

async function fragment(url) {
  const answer = await fetch(url, { credentials: "same-origin" });
  if (!answer.ok || answer.redirected) return null;
  return new DOMParser().parseFromString(await answer.text(), "text/html").body;
}

async function readHead() {
  const page = await fragment(`${root.dataset.headUrl}?${query}`).catch(() => null);
  if (!page) return;
  const before = root.dataset.state;
  $("#batch-head").replaceChildren(...page.children);
  root.dataset.state = $("#batch-head section").dataset.state;
  if (before === "open" && root.dataset.state !== "open") $("#uploader")?.classList.add("sealed");
}

function place(fresh) {
  for (const tile of fresh) {
    const old = document.getElementById(tile.id);
    if (old) { if (old.outerHTML !== tile.outerHTML) old.replaceWith(tile); continue; }
    tile.classList.add("fresh");
    if (order === "new") tiles.prepend(tile);
    else if (order === "old") tiles.append(tile);
    else ranked(tile);
  }
  for (const extra of $$(".verdict-tile", tiles).slice(KEPT)) extra.remove();
  $("#no-tiles").hidden = $$(".verdict-tile", tiles).length > 0;
  heat();
}

const score = (tile) => Number($(".cap small", tile)?.textContent ?? NaN);
function ranked(tile) {
  const mine = score(tile), sign = order === "worst" ? -1 : 1;
  const next = $$(".verdict-tile", tiles).find((other) => sign * score(other) > sign * mine);
  if (next) next.before(tile); else tiles.append(tile);
}

const readWanted = calmly(async () => {
  const ids = [...wanted].slice(0, 200);
  if (!ids.length) return;
  for (const id of ids) wanted.delete(id);
  const page = await fragment(`${root.dataset.tilesUrl}?${query}&ids=${ids.join(",")}`).catch(() => null);
  if (page) place($$(".verdict-tile", page));
  if (wanted.size) readWanted();
}, 400);

async function refresh() { // the first page again: nothing that happened meanwhile is missed
  readHead();
  const page = await fragment(`${root.dataset.tilesUrl}?${query}&start=0`).catch(() => null);
  if (!page) return;
  const fresh = $$(".verdict-tile", page);
  const known = new Set(fresh.map((tile) => tile.id));
  const inPlace = $$(".verdict-tile", tiles).slice(0, fresh.length).map((tile) => tile.id);
  if (fresh.every((tile, i) => tile.id === inPlace[i])) { place(fresh); return; }
  for (const tile of $$(".verdict-tile", tiles)) if (known.has(tile.id)) tile.remove();
  tiles.prepend(...fresh);
  const more = $(".tile-more", page);
  if (more && !$(".tile-more", tiles)) { tiles.append(more); htmx.process(more); }
  $("#no-tiles").hidden = $$(".verdict-tile", tiles).length > 0;
  heat();
}

// --- heatmaps on the tiles, loaded when they are wanted ------------------------------------
const toggle = $("#heat-toggle");
function heat() {
  if (!tiles.classList.contains("show-heat")) return;
  for (const layer of $$("img.heat[data-src]", tiles)) { layer.loading = "lazy"; layer.src = layer.dataset.src; layer.removeAttribute("data-src"); }
}
function showHeat(on) {
  tiles.classList.toggle("show-heat", on);
  toggle.setAttribute("aria-pressed", on);
  sessionStorage.setItem("kintsugi-heat", on ? "1" : "");
  heat();
}
toggle.addEventListener("click", () => showHeat(!tiles.classList.contains("show-heat")));
showHeat(sessionStorage.getItem("kintsugi-heat") === "1");
tiles.addEventListener("htmx:afterSettle", heat);

const headLater = calmly(readHead, 700), refreshLater = calmly(refresh, 1500);
watch([`batch:${root.dataset.id}`], (push) => {
  for (const id of push.inspection_ids || []) wanted.add(id);
  if (push.inspection_ids) readWanted();
  if (push.type === "state") refreshLater();
  headLater();
}, refresh);
document.addEventListener("uploadclosed", refreshLater);
document.addEventListener("htmx:afterSwap", heat);
