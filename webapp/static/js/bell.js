// What the person should know of: a count on the bell, the newest under it, told at once.
import { $, calmly, say, tell } from "./kit.js";
import { watch } from "./live.js";

const bell = $("#bell"), list = $("#bell-list"), count = $("#bell-count");

function show(unread) {
  count.textContent = unread;
  count.hidden = !unread;
  bell.querySelector("summary").setAttribute("aria-label", unread ? say("unread", { n: unread }) : say("no_unread"));
}

// The list says how many are unread, so it is read again even while it is closed.
const look = calmly(() => list.dispatchEvent(new Event("look")), 2000);

if (bell) {
  bell.addEventListener("toggle", () => { if (bell.open) look(); });
  list.addEventListener("htmx:afterSwap", () => {
    const shown = list.querySelector("[data-unread]");
    if (shown) show(shown.dataset.unread);
  });
  watch(["me"], (push) => {
    if (push.type === "export") return; // the status bar's
    if (push.type === "notification") tell(push.title, "v-gold", "bell");
    look();
  });
}
