// The list of jobs, read again when something changed.
import { $, calmly } from "./kit.js";
import { watch } from "./live.js";

const place = $("#jobs");
const refresh = calmly(async () => {
  if (document.querySelector("#jobs form:focus-within")) return; // not under somebody's finger
  const answer = await fetch(place.dataset.url, { headers: { "HX-Request": "true" }, credentials: "same-origin" }).catch(() => null);
  if (!answer?.ok || answer.redirected) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  place.replaceChildren(...page.body.childNodes);
}, 2000);
watch(["jobs"], refresh, refresh);
