// Deciding on suspicious pictures with one key each: k keeps, x leaves out.
import { $$, postJson, tell, typing } from "./kit.js";

const vets = $$("[data-vet]");
const here = () => vets.indexOf(document.activeElement.closest?.("[data-vet]"));

function mark(vet, decision) {
  vet.dataset.decision = decision;
  vet.className = `vet vet-${decision}`;
  for (const button of $$("button[name=keep]", vet))
    button.setAttribute("aria-pressed", (button.value === "yes") === (decision === "kept") && decision !== "open");
}

async function decide(vet, keep) {
  const before = vet.dataset.decision;
  mark(vet, keep ? "kept" : "excluded");
  try { await postJson(vet.dataset.vet, { keep: keep ? "yes" : "no" }); }
  catch (error) { mark(vet, before); tell(error.message); }
}

function move(by) {
  const next = vets[Math.max(0, Math.min(vets.length - 1, here() + by))];
  next?.focus();
  next?.scrollIntoView({ block: "nearest", behavior: "smooth" });
}

for (const vet of vets)
  vet.addEventListener("submit", (event) => {
    event.preventDefault();
    decide(vet, event.submitter.value === "yes");
  });

document.getElementById("vetting")?.setAttribute("data-ready", "yes");

// Captured, so that here k keeps and does not also go to the previous.
document.addEventListener("keydown", (event) => {
  if (typing(event) || !vets.length) return;
  const act = { k: () => decide(vets[here()], true), x: () => decide(vets[here()], false), ArrowDown: () => move(1), ArrowUp: () => move(-1), j: () => move(1) }[event.key];
  if (!act) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  if (here() < 0) { move(1); return; }
  act();
  if (event.key === "k" || event.key === "x") move(1);
}, true);
