// Deciding on suspicious pictures with one key each: k keeps, x leaves out.
import { $, $$, postJson, tell, typing } from "./kit.js";

const vets = $$("[data-vet]");
let marked = 0; // a click elsewhere takes the focus away, not the mark
const here = () => {
  const at = vets.indexOf(document.activeElement.closest?.("[data-vet]"));
  return at < 0 ? marked : at;
};

function mark(vet, decision) {
  vet.dataset.decision = decision;
  vet.className = `vet vet-${decision}`;
  for (const button of $$("button[name=keep]", vet))
    button.setAttribute("aria-pressed", (button.value === "yes") === (decision === "kept") && decision !== "open");
  const undecided = vets.filter((one) => one.dataset.decision === "open").length;
  $("#undecided").hidden = !undecided;
  $("#undecided [data-n]").textContent = undecided;
}

async function decide(vet, keep) {
  const before = vet.dataset.decision;
  mark(vet, keep ? "kept" : "excluded");
  try { await postJson(vet.dataset.vet, { keep: keep ? "yes" : "no" }); }
  catch (error) { mark(vet, before); tell(error.message); }
}

function move(by) {
  marked = Math.max(0, Math.min(vets.length - 1, here() + by));
  const next = vets[marked];
  next?.focus();
  next?.scrollIntoView({ block: "nearest", behavior: "smooth" });
}

for (const vet of vets)
  vet.addEventListener("submit", (event) => {
    event.preventDefault();
    decide(vet, event.submitter.value === "yes");
  });

// The first that waits is marked at once, so that the first key decides on what is seen to be marked.
marked = Math.max(0, vets.findIndex((one) => one.dataset.decision === "open"));
vets[marked]?.focus({ preventScroll: true, focusVisible: true });
for (const [at, vet] of vets.entries()) vet.addEventListener("focusin", () => { marked = at; });

document.getElementById("vetting")?.setAttribute("data-ready", "yes");

// Captured, so that here k keeps and does not also go to the previous.
document.addEventListener("keydown", (event) => {
  if (typing(event) || !vets.length) return;
  const act = { k: () => decide(vets[here()], true), x: () => decide(vets[here()], false), ArrowDown: () => move(1), ArrowUp: () => move(-1), j: () => move(1) }[event.key];
  if (!act) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  act();
  if (event.key === "k" || event.key === "x") move(1);
}, true);
