// One socket per page. It only says "look": what is true is fetched again on every (re)connect.
import { say } from "./kit.js";

const watchers = new Map(); // topic -> [{onPush, onConnect}]
const POLL_MS = 15000;
let socket = null;
let wait = 500;
let open = false;
let asked = false; // without the socket: what it would have told is asked for at once

/** Hear of `topics`. `refresh` is called on each connect and, while the socket is down, slowly. */
export function watch(topics, onPush, refresh) {
  for (const topic of topics) {
    if (!watchers.has(topic)) watchers.set(topic, []);
    watchers.get(topic).push({ onPush, refresh });
  }
  if (open) subscribe(topics);
}

// `me` is everybody's own: the server sends it unasked.
function subscribe(topics) {
  socket.send(JSON.stringify({ subscribe: topics.filter((topic) => topic !== "me") }));
}

function refreshAll() {
  const done = new Set();
  for (const list of watchers.values())
    for (const { refresh } of list)
      if (refresh && !done.has(refresh)) { done.add(refresh); refresh(); }
}

function show(state, word) {
  const bar = document.querySelector(".statusbar");
  if (bar) bar.dataset.live = state;
  const place = document.getElementById("live-word");
  if (place) place.textContent = word;
}

/** Whether the server answers, told by whoever asked it while the socket is down. */
export function heard(answered) {
  if (open) return;
  if (answered) show("off", say("asking"));
  else show("gone", say("no_connection"));
}

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/ws/live/`);
  socket.onopen = () => {
    open = true;
    wait = 500;
    subscribe([...watchers.keys()]);
  };
  socket.onmessage = (event) => {
    const message = JSON.parse(event.data);
    if (message.subscribed) { // listening first, then asking the rows: nothing falls between
      show("on", say("live"));
      refreshAll();
      return;
    }
    for (const { onPush } of watchers.get(message.topic) || []) onPush(message);
  };
  socket.onclose = (event) => {
    const before = open;
    open = false;
    if (event.code === 4401) { show("off", say("asking")); return; } // signed out: the next page asks to sign in
    if (before || !asked) refreshAll(); // is it the socket, or the server? who asks will know
    asked = true;
    setTimeout(connect, wait + Math.random() * 300);
    wait = Math.min(wait * 2, 15000);
  };
}

setInterval(() => { if (!open && !document.hidden) refreshAll(); }, POLL_MS);
document.addEventListener("visibilitychange", () => { if (!document.hidden && !open) refreshAll(); });
connect();
