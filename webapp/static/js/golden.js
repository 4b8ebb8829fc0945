// How many golden parts are chosen; the kind of defect is meant as soon as it is typed.
import { $, $$ } from "./kit.js";

const form = $("#golden");
if (form) {
  const boxes = $$("input[name=item]", form), label = form.elements.label;
  const count = () => { $("#chosen-count").textContent = boxes.filter((box) => box.checked).length; };
  form.addEventListener("change", count);
  label?.addEventListener("input", () => { if (label.value) form.elements.kind.value = "defect"; });
  count(); // a browser that goes back keeps what was chosen
}
document.addEventListener("uploadclosed", () => location.reload());
