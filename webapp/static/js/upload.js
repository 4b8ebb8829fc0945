// The drop zone: files go out a few at a time, and each keeps the server's own sentence.
import { $, $$, calmly, duration, getJson, icon, make, postJson, say, tell } from "./kit.js";
import { chosen, dropped, keyOf } from "./files.js";
import { Sender } from "./sender.js";
import { watch } from "./live.js";

const narrow = matchMedia("(max-width: 767.98px)");
let ROW = narrow.matches ? 68 : 46; // the heights in pages.css
const SIGNS = {
  accepted: [say("accepted"), "circle-check", "v-pass"], duplicate: [say("duplicate"), "copy", "v-none"],
  refused: [say("refused"), "circle-x", "v-fail"], unsent: [say("unsent"), "alert-triangle", "v-fail"],
  queued: [say("queued"), "file-zip", "v-gold"], sending: [say("sending"), "upload", "v-gold"], waiting: [say("waiting"), "clock", "v-none"],
};
const ENDED = ["accepted", "duplicate", "refused", "unsent"];
const zone = $("#uploader");
const list = $("#receipts"), inner = $("#receipts-inner"), bar = $("#upload-bar");
const entries = new Map();
const fresh = new Set(); // accepted since this page was opened
let shown = [], filter = "all", upload = null, after = "", began = 0, archives = [], failed = false, closed = true, closing = false, opening = null;
let meaning = "", folded = false, announced = 0, left = false; // left: the page was, while files were on their way

const sender = new Sender({ changed: calmly(draw, 120), idle: () => void finish(), stopped: halted });

// --- opening ------------------------------------------------------------------------------
function useUpload(addresses) {
  upload = addresses;
  closed = false;
  sender.url = addresses.upload_file;
  sender.pieces = addresses.upload_pieces;
  watch([`upload:${addresses.id}`], ask, ask);
}

async function open(count) {
  const folders = $("#folders")?.value || meaning;
  const addresses = await postJson(zone.dataset.open, { expected_files: count, folders, viewpoint: zone.dataset.viewpoint || "" });
  after = "";
  useUpload(addresses);
  if (zone.dataset.rename) history.replaceState(null, "", addresses.upload);
}

/** In a trial, folder names may say what the parts are: that is asked, never ignored. */
async function askMeaning(found) {
  const box = $("#ask-folders");
  if (!box) return;
  const names = [...new Set(found.map(({ path }) => path.split("/").at(-2)).filter(Boolean))].sort();
  const zips = found.some(({ path }) => /\.zip$/i.test(path));
  if (!names.length && !zips) return;
  const shown = names.length > 12 ? [...names.slice(0, 12), "…"] : names;
  $("[data-found]", box).textContent = names.length ? say("in_folders", { names: shown.join(", ") }) : say("in_zip");
  box.returnValue = "";
  box.showModal();
  await new Promise((done) => box.addEventListener("close", done, { once: true }));
  meaning = box.returnValue;
}

async function take(found) {
  const once = new Map(found.map((one) => [keyOf(one), one])); // the same file chosen twice is one file
  const coming = [...once].map(([key, one]) => ({ key, name: one.path, size: one.file.size, file: one.file, sent: 0, outcome: "waiting", message: "" }))
    .filter((entry) => !entries.has(entry.key) || entries.get(entry.key).outcome === "unsent");
  if (!coming.length) { if (found.length) tell(say("sent_already"), "v-none", "info-circle"); return; }
  if (!sender.busy) began = performance.now();
  for (const entry of coming) entries.set(entry.key, entry);
  draw();
  try {
    if (closed || !upload) await (opening ||= askMeaning(found).then(() => open(coming.length)).finally(() => { opening = null; }));
    halted("");
    sender.add(coming);
  } catch (error) {
    for (const entry of coming) entries.delete(entry.key);
    draw();
    tell(error.message);
  }
}

// --- what the server says -------------------------------------------------------------------
let asking = false, askAgain = false;
async function ask() {
  if (asking || !upload) { askAgain = true; return; }
  asking = true;
  try {
    for (let more = true; more;) {
      const answer = await getJson(`${upload.upload_receipts}?after=${after}`);
      for (const receipt of answer.receipts) heard(receipt);
      ({ after, more, archives } = answer);
      closed = answer.progress.closed;
      announced = answer.progress.total;
      failed = answer.progress.state === "failed";
    }
    for (const archive of archives) {
      const entry = entries.get(archive.client_key) || { key: archive.client_key, name: archive.file_name, message: "", sent: 1 };
      entry.outcome = archive.unpacked ? "accepted" : failed ? "waiting" : "queued";
      entry.archive = true;
      entry.message = say(archive.unpacked ? "unpacked" : "unpacking", { n: archive.done, total: archive.total ?? "…" });
      entries.set(entry.key, entry);
    }
    draw();
  } catch { /* the next push or poll asks again */ }
  asking = false;
  if (askAgain) { askAgain = false; ask(); }
}

function heard(receipt) {
  const entry = entries.get(receipt.client_key) || { key: receipt.client_key, sent: 1 };
  if (receipt.outcome === "accepted" && began) fresh.add(receipt.client_key);
  Object.assign(entry, { name: receipt.file_name, outcome: receipt.outcome, message: receipt.message, code: receipt.code, image: receipt.image_id });
  entries.set(receipt.client_key, entry);
}

async function finish() {
  const keep = $("#keep-open")?.checked;
  if (!upload || closed || closing || keep || absent(tally()) || [...entries.values()].some((entry) => entry.outcome === "unsent")) { draw(); return; }
  closing = true;
  try {
    await postJson(upload.upload_close);
    closed = true;
    await ask();
    document.dispatchEvent(new Event("uploadclosed"));
  } catch (error) { tell(error.message); }
  closing = false;
  draw();
}

function halted(message) {
  const place = $("#upload-halt");
  place.hidden = !message;
  $("p", place).textContent = message;
}

// --- drawing --------------------------------------------------------------------------------
function tally() {
  const count = { accepted: 0, duplicate: 0, refused: 0, unsent: 0, waiting: 0 };
  let part = 0, total = 0;
  for (const entry of entries.values()) {
    if (entry.archive && entry.outcome === "accepted") continue; // its members are counted
    total += 1;
    if (ENDED.includes(entry.outcome)) { count[entry.outcome] += 1; part += 1; }
    else { count.waiting += 1; part += 0.9 * (entry.sent || 0); }
  }
  for (const archive of archives) if (!archive.unpacked && archive.total) total += Math.max(0, archive.total - archive.done);
  return { ...count, total, part };
}

/** Files that were announced and never came, because the page was left before. */
const absent = (now) => (left && !closed ? Math.max(0, announced - now.total) : 0);

function draw() {
  const now = tally(), missing = absent(now), done = now.total - now.waiting, all = entries.size > 0 || missing > 0;
  now.total += missing;
  $("#upload-absent").hidden = !missing || sender.busy;
  $("p", $("#upload-absent")).textContent = say("never_sent", { n: missing, total: now.total });
  $("#upload-progress").hidden = !all;
  zone.classList.toggle("has-files", all);
  bar.max = Math.max(now.total, 1);
  bar.value = now.part;
  $("#upload-count").textContent = say("have_receipts", { n: done, total: now.total });
  for (const name of ["accepted", "duplicate", "refused"]) $(`#n-${name}`).textContent = now[name] + (name === "refused" ? now.unsent : 0);
  const open = now.total - now.part;
  $("#upload-eta").textContent = sender.busy && now.part > 3 && began ? say("about_left", { time: duration(open * (performance.now() - began) / 1000 / now.part) }) : "";
  const ended = all && !sender.busy && open < 0.001;
  $("#upload-done").hidden = !(ended && !now.unsent && closed);
  // The verdicts below are what one waits for; receipts that all say the same make way.
  const fold = "fold" in zone.dataset && ended && closed && now.accepted === now.total;
  if (fold !== folded) { folded = fold; $("#upload-receipts").open = !fold; }
  $("#upload-done-words").textContent = say("all_have_receipts", now);
  $("#upload-retry").hidden = !now.unsent;
  const good = $("#good-count");
  if (good) good.textContent = Number(good.dataset.before) + fresh.size;
  zone.dataset.done = done;
  zone.dataset.total = now.total;
  zone.dataset.state = !all ? "empty" : ended ? (closed ? "closed" : "sent") : "sending";
  const wanted = { all: () => true, refused: (e) => ["refused", "unsent"].includes(e.outcome), waiting: (e) => !ENDED.includes(e.outcome) }[filter];
  shown = [...entries.values()].filter(wanted);
  if (sender.busy) shown.sort((a, b) => (b.outcome === "sending") - (a.outcome === "sending")); // what moves is in sight
  inner.style.height = `${shown.length * ROW}px`;
  list.hidden = !all;
  $("#receipts-none").hidden = !all || shown.length > 0;
  window.requestAnimationFrame(rows);
}

function rows() { // only what is in sight exists, however many thousand there are
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 4);
  const last = Math.min(shown.length, first + Math.ceil(list.clientHeight / ROW) + 10);
  inner.replaceChildren(...shown.slice(first, last).map((entry, i) => row(entry, first + i)));
}

function row(entry, index) {
  const [word, name, tone] = SIGNS[entry.outcome];
  const middle = entry.outcome === "sending"
    ? make("progress", { class: "bar", max: 1, value: entry.sent, "aria-label": entry.name })
    : make("span", { class: "receipt-message", title: entry.message }, entry.message || "");
  const line = make("div", { class: "receipt", "data-outcome": entry.outcome },
    make("span", { class: "receipt-name", title: entry.name }, entry.name), middle,
    make("span", { class: `tag ${tone}` }, icon(name, "s"), word));
  line.style.transform = `translateY(${index * ROW}px)`;
  return line;
}

// --- hands ------------------------------------------------------------------------------------
let depth = 0;
addEventListener("dragenter", (event) => { if (event.dataTransfer?.types.includes("Files")) { depth += 1; zone.classList.add("over"); } });
addEventListener("dragleave", () => { depth = Math.max(0, depth - 1); if (!depth) zone.classList.remove("over"); });
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", async (event) => {
  event.preventDefault();
  depth = 0;
  zone.classList.remove("over");
  if ($(".drop", zone)) take(await dropped(event.dataTransfer));
});
function pick(field) {
  const found = chosen(field);
  field.value = "";
  if (found.length) take(found);
}
for (const field of $$("input[type=file]", zone)) field.addEventListener("change", () => pick(field));
for (const button of $$("[data-pick]", zone)) button.addEventListener("click", () => $(button.dataset.pick).click());
for (const chip of $$("[data-filter]", zone))
  chip.addEventListener("click", () => {
    filter = chip.dataset.filter;
    for (const other of $$("[data-filter]", zone)) other.setAttribute("aria-pressed", other === chip);
    list.scrollTop = 0;
    draw();
  });
$("#upload-receipts").addEventListener("toggle", () => window.requestAnimationFrame(rows));
list.addEventListener("scroll", () => window.requestAnimationFrame(rows), { passive: true });
$("#upload-again").addEventListener("click", () => { halted(""); sender.again(); });
$("#upload-retry").addEventListener("click", () => {
  const unsent = [...entries.values()].filter((entry) => entry.outcome === "unsent" && entry.file);
  for (const entry of unsent) Object.assign(entry, { outcome: "waiting", tries: 0 });
  sender.add(unsent);
});
$("#keep-open")?.addEventListener("change", async ({ target: box }) => { // the server must know: it closes what was left
  try {
    await postJson(box.dataset.url, { keep: box.checked ? "yes" : "no" });
    if (!box.checked && !sender.busy) await finish();
  } catch (error) { box.checked = !box.checked; tell(error.message); }
  document.dispatchEvent(new Event("uploadclosed"));
});
addEventListener("beforeunload", (event) => { if (sender.busy) event.preventDefault(); });
addEventListener("resize", () => { ROW = narrow.matches ? 68 : 46; draw(); });

if (zone.dataset.id) {
  const name = (kebab) => zone.dataset[kebab];
  useUpload({ id: name("id"), upload: name("page"), upload_file: name("files"), upload_pieces: name("pieces"), upload_close: name("close"), upload_receipts: name("receipts") });
  left = true;
  ask();
}
draw();
for (const field of $$("input[type=file]", zone)) pick(field); // chosen before this script was here
