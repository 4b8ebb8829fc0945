// The verification station: a part at a time, a key each. The next parts and their pictures are
// here before they are wanted; a decision is shown at once and sent behind the next part.
import { $, $$, csrf, make, postJson, say, tell, typing } from "./kit.js";
import { PartViewer } from "./viewer.js";

const root = $("#station"), main = $("#station-main"), empty = $("#station-empty"), strip = $("#last");
const { look } = root.dataset;
const AHEAD = 4, RENEW_MS = 60000, ASK_AGAIN_MS = 10000, KEPT = 8;
const lockMs = Number(root.dataset.lockMinutes) * 60000;
const viewer = new PartViewer($("#viewer"), $("#opacity"));
const parts = []; // {el, id, pictures, picture, decided, reason, comment}
let at = -1, asking = false, lastInput = Date.now(), told = 0;

// --- what is on the desk -------------------------------------------------------------------
const open = () => parts.filter((part) => !part.decided);
/** Ours by what the server knows: one whose decision is on its way is not to be handed out again. */
const ours = () => parts.filter((part) => !part.decided?.review);

function adopt(articles) {
  for (const el of articles) {
    const id = el.dataset.part;
    if (parts.some((part) => part.id === id && !part.decided)) continue;
    const old = parts.findIndex((part) => part.id === id);
    if (old >= 0) { parts[old].el.remove(); parts.splice(old, 1); if (old <= at) at -= 1; }
    const part = { el, id, pictures: JSON.parse(el.dataset.pictures), picture: 0, decided: null, reason: "", comment: "" };
    if (!el.isConnected) $("#parts").append(el);
    parts.push(part);
    preload(part);
  }
}

/** The browser has the pictures before the viewer asks for them. */
function preload(part) {
  part.loaded = part.pictures.slice(0, 2).flatMap((one) => [one.original, one.heatmap, one.restored]).filter(Boolean).map((url) => {
    const image = new Image();
    image.src = url;
    return image;
  });
}

function show(index) {
  const next = parts[index];
  if (parts[at]) parts[at].comment = $("#comment").value;
  at = next ? index : parts.length;
  for (const part of parts) part.el.hidden = part !== next;
  main.hidden = !next;
  empty.hidden = Boolean(next);
  root.dataset.part = next?.id || "";
  if (!next) { ask(); return; }
  $("#comment").value = next.comment;
  const words = $("#reject-word").dataset;
  $("#reject-word").textContent = ["audit", "second"].includes(next.el.dataset.kind) ? words.none : words.call;
  for (const button of $$("[data-state]")) {
    button.disabled = Boolean(next.decided);
    button.setAttribute("aria-pressed", next.decided?.state === button.dataset.state);
  }
  draw(next);
  ask();
}

function draw(part) {
  const many = $("#other-picture");
  many.hidden = part.pictures.length < 2;
  many.textContent = say("picture_of", { n: part.picture + 1, total: part.pictures.length });
  if (part.pictures[part.picture]) viewer.open(part.pictures[part.picture]);
}

function nextOpen() {
  const ahead = parts.findIndex((part, i) => i > at && !part.decided);
  show(ahead >= 0 ? ahead : parts.findIndex((part) => !part.decided));
}

function step(by) {
  const wanted = at + by;
  if (wanted >= 0 && wanted < parts.length) show(wanted);
}

// --- more parts ----------------------------------------------------------------------------
async function ask() {
  const ahead = parts.filter((part, i) => i > at && !part.decided).length;
  if (asking || ahead >= AHEAD || document.hidden && parts[at]) return;
  asking = true;
  try {
    const answer = await fetch(root.dataset.parts, {
      method: "POST", credentials: "same-origin", headers: { "X-CSRFToken": csrf(), "Content-Type": "application/x-www-form-urlencoded", Accept: "text/html" },
      body: new URLSearchParams({ have: ours().map((part) => part.id).join(",") }),
    });
    if (answer.redirected) { location.reload(); return; }
    if (!answer.ok) return;
    adopt($$(".station-part", new DOMParser().parseFromString(await answer.text(), "text/html")).map((el) => document.adoptNode(el)));
    if (!parts[at] && open().length) nextOpen();
  } catch { /* asked again soon */ } finally { asking = false; }
}

async function renew() {
  if (idle() > RENEW_MS * 4) return; // nobody is here: others may have the parts
  const asked = open(); // what comes back meanwhile was not asked about
  try {
    const answer = await postJson(root.dataset.claims, { keep: asked.map((part) => part.id).join(","), active: idle() < RENEW_MS ? "1" : "" });
    for (const [name, n] of Object.entries(answer.counts)) for (const place of $$(`[data-count="${name}"]`)) place.textContent = n;
    $("#count-left").textContent = answer.counts.left;
    $("#count-today").textContent = answer.counts.today;
    const kept = new Set(answer.kept);
    for (const lost of open().filter((part) => asked.includes(part) && !kept.has(part.id))) remove(lost);
  } catch (error) { failed(error); }
}

function remove(part) {
  const index = parts.indexOf(part), shown = index === at;
  parts.splice(index, 1);
  part.el.remove();
  if (index < at || shown) at -= 1;
  if (shown) { tell(say("taken_over"), "v-review"); nextOpen(); }
}

// --- deciding ------------------------------------------------------------------------------
function decide(state) {
  const part = parts[at];
  if (!part || part.decided) return;
  part.comment = $("#comment").value;
  const { seen, seenAt } = part.el.dataset; // a blind second look has seen nothing
  const known = seen === undefined ? {} : { seen, seen_at: seenAt };
  const sent = postJson(part.el.dataset.review, { state, ...known, reason: part.reason, comment: part.comment, look });
  part.decided = { state, sent };
  count(-1, 1);
  nextOpen();
  sent.then((answer) => said(part, answer), (error) => { refused(part, error); });
}

function said(part, answer) {
  part.decided.review = answer.review;
  saw(part, answer);
  const line = $(".station-said", part.el);
  line.textContent = [answer.word, answer.first].filter(Boolean).join(" · ");
  line.hidden = false;
  if (answer.agrees === false) tell(`${answer.first}. ${say("you_said", { state: answer.word })}`, "v-review");
  const name = $(".station-name", part.el).textContent;
  lastLine({ review: answer.review, part: part.id, word: answer.word, name, thumb: part.pictures[0]?.thumb, reason: $("[aria-checked=true]", part.el)?.lastChild.textContent.trim() });
}

/** What the server says of the part now is what is on the screen. */
function saw(part, answer) {
  if ("seen" in answer) Object.assign(part.el.dataset, { seen: answer.seen, seenAt: answer.seen_at });
}

function refused(part, error) {
  part.decided = null;
  count(1, -1);
  failed(error);
  if (error.code === "changed_meanwhile") { remove(part); if (!parts[at]) nextOpen(); }
  else show(parts.indexOf(part));
}

function failed(error) {
  if (error.go) location.assign(error.go);
  else if (Date.now() - told > 500) { told = Date.now(); tell(error.message); }
}

function count(left, today) {
  const change = (place, by) => { place.textContent = Math.max(0, Number(place.textContent) + by); };
  change($("#count-left"), left);
  change($("#count-today"), today);
}

// --- the last ones, and undo -----------------------------------------------------------------
function lastLine({ review, part, word, name, thumb, reason }) {
  const picture = thumb ? make("img", { src: thumb, alt: "", width: 40, height: 40 }) : null;
  const words = make("span", {}, make("b", {}, word), make("small", {}, [name, reason].filter(Boolean).join(" · ")));
  const button = make("button", { class: "last-item", type: "button", "data-undo": review, "data-of": part, title: say("undo") }, picture, words);
  strip.prepend(button);
  for (const extra of $$(".last-item", strip).slice(KEPT)) extra.remove();
}

async function undo(line) {
  const waiting = parts.find((part) => part.decided && !part.decided.review);
  if (!line && waiting) await waiting.decided.sent.catch(() => {}); // the newest is still on its way
  const item = line || $(".last-item:not([disabled])", strip);
  if (!item) return;
  item.disabled = true;
  try {
    const answer = await postJson(strip.dataset.undo.replace("00000000-0000-0000-0000-000000000000", item.dataset.undo));
    item.remove();
    count(1, -1);
    const part = parts.find((one) => one.id === item.dataset.of);
    if (!part) await wanted(item.dataset.of, answer.held);
    else {
      part.decided = null;
      saw(part, answer);
      $(".station-said", part.el).hidden = true;
      show(parts.indexOf(part));
      if (!answer.held) remove(part);
    }
  } catch (error) { item.disabled = false; failed(error); }
}

/** An undone part that is not on this page is asked for; one that does not come is for others. */
async function wanted(id, held) {
  at = parts.length;
  await ask();
  if (!held) tell(say("taken_over"), "v-review");
  else if (!asking && !parts.some((part) => part.id === id)) await postJson(root.dataset.claims, { drop: id }).catch(() => {});
}

function choose(button) {
  const part = parts[at];
  if (!part || part.decided) return;
  part.reason = part.reason === button.dataset.reason ? "" : button.dataset.reason;
  for (const one of $$("[data-reason]", part.el)) one.setAttribute("aria-checked", one.dataset.reason === part.reason);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button, a");
  if (!button) return;
  if (button.dataset.state) decide(button.dataset.state);
  else if (button.dataset.reason) choose(button);
  else if (button.classList.contains("last-item")) undo(button);
  else if (button.id === "other-picture") other();
  else if (button.matches(".station-bar a.chip")) { event.preventDefault(); leave(() => location.assign(button.href)); }
});

function other() {
  const part = parts[at];
  if (!part || part.pictures.length < 2) return;
  part.picture = (part.picture + 1) % part.pictures.length;
  draw(part);
}

const keys = {
  j: () => step(1), k: () => step(-1), u: () => undo(), n: other, 0: () => viewer.zoom("home"),
  v: () => viewer.show(viewer.shown.original ? "restored" : "original"), h: () => viewer.show("heatmap"), o: () => viewer.show("regions"),
  m: () => $("#comment").focus(), ArrowRight: () => step(1), ArrowLeft: () => step(-1),
};
document.addEventListener("keydown", (event) => {
  if (event.target.id === "comment" && (event.key === "Escape" || event.key === "Enter" && !event.shiftKey)) { event.preventDefault(); event.target.blur(); return; }
  if (typing(event) || event.target.type === "range") return;
  const digit = /^[1-9]$/.test(event.key) && $(`[data-digit="${event.key}"]`, parts[at]?.el);
  const act = digit ? () => choose(digit) : look === "second" && "vho".includes(event.key) ? null : keys[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

/** Put back what is held before going to other parts. */
async function leave(go) {
  await postJson(root.dataset.claims, { drop: open().map((part) => part.id).join(",") }).catch(() => {});
  go();
}
document.addEventListener("submit", (event) => { // the product or line of the top bar
  if (!event.target.matches("form.scope")) return;
  event.preventDefault();
  leave(() => event.target.submit());
});

// --- nobody here ---------------------------------------------------------------------------
const idle = () => Date.now() - lastInput;
for (const kind of ["keydown", "pointerdown", "pointermove", "wheel", "touchstart"])
  document.addEventListener(kind, () => { if (!lockIfIdle()) lastInput = Date.now(); }, { passive: true, capture: true });

function lockIfIdle() { // a browser that slept finds out when it wakes, before anybody reads
  if (!lockMs || idle() < lockMs) return false;
  document.body.classList.add("locked");
  $("#lock-form").requestSubmit();
  return true;
}
$("#lock-form").addEventListener("submit", () => localStorage.setItem("kintsugi-locked", Date.now()));
setInterval(lockIfIdle, Math.min(5000, lockMs / 4 || 5000));
for (const kind of ["visibilitychange", "pageshow"]) document.addEventListener(kind, lockIfIdle);
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

adopt($$(".station-part"));
show(0);
root.dataset.ready = "yes";
setInterval(renew, RENEW_MS);
setInterval(() => { if (!parts[at] && !document.hidden) ask(); }, ASK_AGAIN_MS);
