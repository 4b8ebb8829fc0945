// Sends files, a few at a time, each until it has the server's receipt.
import { csrf, say } from "./kit.js";

const AT_ONCE = 4;
const TRIES = 6;
const PASSING = [0, 408, 425, 429, 500, 502, 503, 504];
const LARGE = 8e6; // bytes; beyond, a file goes in pieces and goes on where it broke off

export class Sender {
  /** `changed(entry)` after every change; `idle()` when nothing is left to send. */
  constructor({ changed, idle, stopped }) {
    Object.assign(this, { changed, idle, stopped, url: null, waiting: [], going: new Set(), halted: false });
  }

  get busy() { return this.waiting.length + this.going.size > 0; }

  add(entries) {
    this.waiting.push(...entries);
    this.next();
  }

  again() {
    this.halted = false;
    this.next();
  }

  next() {
    while (!this.halted && this.url && this.going.size < AT_ONCE && this.waiting.length) this.send(this.waiting.shift());
    if (!this.busy) this.idle();
  }

  send(entry) {
    if (entry.file.size > LARGE && this.pieces) this.inPieces(entry);
    else this.whole(entry);
  }

  async inPieces(entry) {
    this.going.add(entry);
    entry.outcome = "sending";
    const { sendInPieces } = await import("./pieces.js");
    const moved = (fraction) => { entry.sent = fraction; this.changed(entry); };
    const { status, answer, further } = await sendInPieces(entry, this.pieces, moved);
    if (further) entry.tries = 0; // only tries that bring nothing count
    this.going.delete(entry);
    this.answered(entry, status, answer);
  }

  whole(entry) {
    const request = new XMLHttpRequest();
    this.going.add(entry);
    entry.outcome = "sending";
    request.open("POST", this.url);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.setRequestHeader("X-CSRFToken", csrf());
    request.setRequestHeader("X-Client-Key", entry.key);
    request.setRequestHeader("X-File-Name", encodeURIComponent(entry.name));
    request.upload.onprogress = (event) => {
      entry.sent = event.loaded / (event.total || 1);
      this.changed(entry);
    };
    request.onloadend = () => {
      this.going.delete(entry);
      this.answered(entry, request.status, parse(request.responseText));
    };
    request.send(entry.file);
  }

  answered(entry, status, answer) {
    if (status === 200 && answer?.outcome) {
      Object.assign(entry, { outcome: answer.outcome, message: answer.message, code: answer.code, image: answer.image_id, sent: 1, file: null });
    } else if (status === 200 || status === 401) {
      this.halt(entry, say("signed_out"));
    } else if (answer?.code === "disk_full") {
      this.halt(entry, answer.message);
    } else if (PASSING.includes(status) || answer?.code === "incomplete_transfer") {
      this.later(entry, answer?.message);
      return;
    } else {
      Object.assign(entry, { outcome: "unsent", message: answer?.message || say("server_answered_for", { status, name: entry.name }) });
    }
    this.changed(entry);
    this.next();
  }

  later(entry, message) {
    entry.tries = (entry.tries || 0) + 1;
    if (entry.file.size <= LARGE) entry.sent = 0;
    if (entry.tries >= TRIES) {
      Object.assign(entry, { outcome: "unsent", message: message || say("no_answer", { name: entry.name }) });
      this.changed(entry);
      this.next();
      return;
    }
    entry.outcome = "waiting";
    this.going.add(entry); // still busy while it waits for its next try
    this.changed(entry);
    setTimeout(() => {
      this.going.delete(entry);
      this.waiting.unshift(entry);
      this.next();
    }, 500 * 2 ** entry.tries);
  }

  halt(entry, message) {
    entry.outcome = "waiting";
    this.waiting.unshift(entry);
    this.halted = true;
    this.stopped(message);
  }
}

function parse(text) {
  try { return JSON.parse(text); } catch { return null; }
}
