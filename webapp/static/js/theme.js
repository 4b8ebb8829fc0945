// Runs before the first paint, so that a dark page never flashes white.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const wanted = () => localStorage.getItem("kintsugi-theme") || (dark.matches ? "dark" : "light");
  const apply = () => document.documentElement.setAttribute("data-bs-theme", wanted());
  document.documentElement.classList.add("js");
  apply();
  dark.addEventListener("change", apply);
})();
