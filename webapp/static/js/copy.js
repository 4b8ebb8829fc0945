// A button that copies a text that is shown once.
import { $ } from "./kit.js";

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = $(button.dataset.copy), said = button.parentElement.querySelector("[data-copied]");
  try {
    await navigator.clipboard.writeText(text.textContent);
    said.hidden = false;
  } catch { // no permission, or a page without TLS: select it, so that one key press copies it
    getSelection().selectAllChildren(text);
  }
});
