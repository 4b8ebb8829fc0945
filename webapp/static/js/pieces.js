// One large file in pieces, by the tus protocol 1.0: after a broken connection, and after the page
// was left and the same file is dropped again, it goes on where it broke off.
import { csrf } from "./kit.js";

const PIECE = 5e6; // bytes
const VERSION = { "Tus-Resumable": "1.0.0", Accept: "application/json" };
const GONE = [403, 404, 410]; // what was begun is no longer there: begin again
const ASK_MS = 1000;

const base64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));
const placeOf = (pieces, key) => `kintsugi:${pieces}:${key}`;

// Where a file goes on is kept by the browser; without that (private windows) it begins again.
const recall = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
const keep = (name, place) => { try { localStorage.setItem(name, place); } catch { /* begins again */ } };
const forget = (name) => { try { localStorage.removeItem(name); } catch { /* nothing was kept */ } };

/** Resolves to {status, answer, headers}; status 0 when nobody answered. */
function ask(method, url, headers, body, onprogress) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    for (const [name, value] of Object.entries({ ...VERSION, "X-CSRFToken": csrf(), ...headers })) request.setRequestHeader(name, value);
    if (onprogress) request.upload.onprogress = (event) => onprogress(event.loaded);
    request.onloadend = () => {
      let answer = null;
      try { answer = JSON.parse(request.responseText); } catch { /* no body, or not ours */ }
      resolve({ status: request.status, answer, header: (name) => request.getResponseHeader(name) });
    };
    request.send(body);
  });
}

/** Where the file is, and how much of it; begun when it is nowhere. */
async function place(entry, pieces) {
  const name = placeOf(pieces, entry.key), known = recall(name);
  if (known) {
    const head = await ask("HEAD", known);
    const there = head.header("Upload-Offset");
    if (head.status === 200 && there === null) return { failed: { status: 401, answer: null } }; // the door
    if (head.status === 200) return { url: known, offset: Number(there) };
    if (!GONE.includes(head.status)) return { failed: head };
    forget(name);
  }
  const made = await ask("POST", pieces, {
    "Upload-Length": entry.file.size, "Upload-Metadata": `filename ${base64(entry.name)},client_key ${base64(entry.key)}`,
  });
  if (made.status !== 201) return { failed: made };
  const url = made.header("Location");
  keep(name, url);
  return { url, offset: 0 };
}

/** Sends what is missing of `entry.file`. Resolves to {status, answer, further}: as one request with
 *  the whole file would end, and whether any bytes were kept on the way. `moved(fraction)`. */
export async function sendInPieces(entry, pieces, moved) {
  const size = entry.file.size;
  let { url, offset, failed } = await place(entry, pieces);
  if (failed) return { status: failed.status, answer: failed.answer, further: false };
  const begun = offset;
  moved(offset / size);
  while (offset < size) {
    const piece = entry.file.slice(offset, offset + PIECE);
    const kept = await ask("PATCH", url, { "Content-Type": "application/offset+octet-stream", "Upload-Offset": offset }, piece, (sent) => moved((offset + sent) / size));
    if (kept.status === 409 || kept.status === 423) return { status: 503, answer: kept.answer, further: offset > begun }; // another tab, or ourselves a moment ago
    if (kept.status === 404 || kept.status === 410) forget(placeOf(pieces, entry.key));
    if (kept.status !== 204) return { status: GONE.includes(kept.status) && kept.status !== 403 ? 503 : kept.status, answer: kept.answer, further: offset > begun };
    offset = Number(kept.header("Upload-Offset"));
    moved(offset / size);
  }
  const told = await became(url);
  if (told.answer?.state === "done") forget(placeOf(pieces, entry.key));
  return { ...told, further: offset > begun };
}

/** What became of the whole file; a large zip is checked for a while. */
async function became(url) {
  for (;;) {
    const told = await ask("GET", url);
    if (told.status !== 200 || told.answer?.state !== "checking") return told;
    await new Promise((resolve) => { setTimeout(resolve, ASK_MS); });
  }
}
