// How many golden parts are chosen; the kind of defect is meant as soon as it is typed. After a drop
// the parts are read anew, while the receipts stay where they are.
import { $, $$, tell, say } from "./kit.js";

const place = $("#golden-parts");
const boxes = () => $$("input[name=item]", place);
function count() {
  const shown = $("#chosen-count");
  if (shown) shown.textContent = boxes().filter((box) => box.checked).length;
}

place.addEventListener("change", count);
place.addEventListener("input", (event) => {
  if (event.target.name === "label" && event.target.value) event.target.form.elements.kind.value = "defect";
});

document.addEventListener("uploadclosed", async () => {
  const answer = await fetch(location.href, { credentials: "same-origin" }).catch(() => null);
  if (!answer?.ok || answer.redirected) { tell(say("server_answered", { status: answer?.status ?? "–" })); return; }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  place.replaceChildren(...page.getElementById("golden-parts").childNodes);
  count();
});
count(); // a browser that goes back keeps what was chosen
