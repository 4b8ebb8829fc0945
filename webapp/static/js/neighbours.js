// j and k, or the arrow keys, go to the neighbours of what is shown.
import { $, typing } from "./kit.js";

document.addEventListener("keydown", (event) => {
  if (typing(event) || event.target.type === "range") return;
  const link = { j: "#after", ArrowRight: "#after", k: "#before", ArrowLeft: "#before" }[event.key];
  if (link && $(link)) { event.preventDefault(); $(link).click(); }
});
