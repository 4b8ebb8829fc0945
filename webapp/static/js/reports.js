// The list of reports, read again when one moves; and only the fields that a kind needs.
import { $, $$, calmly } from "./kit.js";
import { watch } from "./live.js";

const place = $("#reports"), kind = $("#order [name$=kind]");

const refresh = calmly(async () => {
  if (document.querySelector("#reports form:focus-within")) return; // not under somebody's finger
  const answer = await fetch(place.dataset.url, { headers: { "HX-Request": "true" }, credentials: "same-origin" }).catch(() => null);
  if (!answer?.ok || answer.redirected) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  place.replaceChildren(...page.body.childNodes);
}, 1500);
watch(["jobs"], (job) => { if (job.kind === "report") refresh(); }, refresh);

function choose() {
  for (const part of $$("#order [data-for]")) part.hidden = !part.dataset.for.split(" ").includes(kind.value);
}
kind.addEventListener("change", choose);
choose();
