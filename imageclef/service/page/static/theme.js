// Light or dark: as the system has it, until the visitor says otherwise.

const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");
const dark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";

export function keepTheme(button, changed) {
  const show = () => {
    button.textContent = dark() ? "Light" : "Dark";
    button.setAttribute("aria-label", dark() ? "Light colours" : "Dark colours");
    changed();
  };
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* private windows keep nothing */ }
    show();
  });
  system.addEventListener("change", show);
  let kept = null;
  try { kept = localStorage.getItem("theme"); } catch { /* likewise */ }
  if (kept) root.dataset.theme = kept;
  show();
}
