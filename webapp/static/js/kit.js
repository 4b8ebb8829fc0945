// Small things that several pages need.
export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
// The cookie first: it is new after signing in again in another tab, the page's copy is not.
export const csrf = () => /(?:^|; )csrftoken=([^;]+)/.exec(document.cookie)?.[1] || document.body.dataset.csrf;

// What the server says in the reader's language (inspection/web/phrases.py).
const phrases = JSON.parse(document.getElementById("phrases")?.textContent || "{}");
/** A phrase with its gaps filled: say("left", {time: "5 s"}). */
export const say = (key, values = {}) => (phrases[key] ?? key).replace(/\{(\w+)\}/g, (gap, name) => values[name] ?? gap);

/** An element: make("p", {class: "dim"}, "text", child). No HTML strings, so no injection. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes))
    if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function icon(name, size = "") {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("class", size ? `i i-${size}` : "i");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `${document.body.dataset.icons}#${name}`);
  svg.append(use);
  return svg;
}

export async function getJson(url) {
  const answer = await fetch(url, { headers: { Accept: "application/json" }, credentials: "same-origin" });
  if (!answer.ok) throw new Error(`${answer.status}`);
  return answer.json();
}

const sending = new Set();

/** Resolves when nothing that the user decided here is still on its way. */
export async function settled() {
  while (sending.size) await Promise.allSettled(sending);
}

function post(url, data) {
  const sent = fetch(url, {
    method: "POST", credentials: "same-origin",
    headers: { Accept: "application/json", "X-CSRFToken": csrf(), "Content-Type": "application/x-www-form-urlencoded" },
    body: new URLSearchParams(data),
  });
  sending.add(sent);
  sent.finally(() => sending.delete(sent)).catch(() => {});
  return sent;
}

export async function postJson(url, data = {}) {
  const answer = await post(url, data);
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(body.message || say("server_answered", { status: answer.status })), { code: body.code, go: body.go });
  return body;
}

/** 95 → "1 min 35 s", the same words as the server's. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || seconds === "") return "";
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return say("seconds", { s: whole });
  const minutes = Math.floor(whole / 60);
  if (minutes < 10 && whole % 60) return say("minutes_seconds", { m: minutes, s: whole % 60 });
  if (minutes < 120) return say("minutes", { m: minutes });
  return say("hours_minutes", { h: Math.floor(minutes / 60), m: minutes % 60 });
}

/** The page's own font for canvases: a bare machine has no other that knows Chinese. */
export const chartFont = () => `11px ${getComputedStyle(document.body).fontFamily}`;

export const percent = (fraction) => say("percent", { n: Math.round(fraction * 100) });

/** A sentence at the corner of the page. */
export function tell(text, tone = "v-fail", name = "alert-triangle") {
  const close = make("button", { class: "icon-button", type: "button", "data-action": "dismiss", "aria-label": say("close") }, icon("x", "s"));
  $("#toasts")?.append(make("div", { class: `notice toast-line ${tone}` }, icon(name), make("div", {}, text), close));
}

/** Call `run` at most every `ms`, and once more at the end. */
export function calmly(run, ms = 500) {
  let timer = null, again = false;
  return function calm() {
    if (timer) { again = true; return; }
    run();
    timer = setTimeout(() => { timer = null; if (again) { again = false; calm(); } }, ms);
  };
}

export const typing = (event) =>
  event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) && !/^(range|checkbox|radio)$/.test(event.target.type) || document.querySelector("dialog[open]");

/** A custom property may hold light-dark(); a canvas wants the colour itself. */
export function resolved(token) {
  const probe = make("span", { class: "probe" });
  probe.style.color = `var(${token})`;
  document.body.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}
