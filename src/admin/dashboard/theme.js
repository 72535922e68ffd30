// The theme: as the system has it, or as the reader wants it, by a button that goes round.

import { icon, mark } from "./element.js";

const THEME_KEY = "rustsocks-theme";
const THEMES = {
  auto: ["Theme: as the system has it", "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18"],
  light: ["Theme: light", "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.600 17.600 19 19M5 19l1.400-1.400M17.600 6.400 19 5"],
  dark: ["Theme: dark", "M20 14.500A8.500 8.500 0 0 1 9.500 4 8.500 8.500 0 1 0 20 14.500"],
};

/** Has `button` choose the theme. */
export function keepTheme(button) {
  const paint = (theme) => {
    mark(document.documentElement, "data-theme", theme === "auto" ? null : theme);
    const [text, path] = THEMES[theme];
    mark(button, "title", text);
    mark(button, "aria-label", text);
    button.replaceChildren(icon(path));
  };
  const stored = () => (THEMES[localStorage.getItem(THEME_KEY)] ? localStorage.getItem(THEME_KEY) : "auto");
  button.addEventListener("click", () => {
    const names = Object.keys(THEMES);
    const next = names[(names.indexOf(stored()) + 1) % names.length];
    localStorage.setItem(THEME_KEY, next);
    paint(next);
  });
  paint(stored());
}
