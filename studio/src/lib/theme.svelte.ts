// Light or dark: as the system has it, until someone chooses. Canvases need the colors as numbers.
import { type Color, readColor } from "./plane.ts";

const KEY = "fewstep-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

const stored = (): string | null => {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
};

let chosen = $state<string | null>(stored());
let systemDark = $state(system.matches);
const isDark = () => (chosen === null ? systemDark : chosen === "dark");
const show = () => document.documentElement.setAttribute("data-theme", isDark() ? "dark" : "light");
system.addEventListener("change", () => {
  systemDark = system.matches;
  show();
});
show();

export const theme = {
  get dark() {
    return isDark();
  },
  toggle() {
    chosen = isDark() ? "light" : "dark";
    try {
      localStorage.setItem(KEY, chosen);
    } catch {
      // Where nothing may be stored, the choice holds for this visit.
    }
    show();
  },
};

/** The color of a custom property. */
export const colorOf = (name: string): Color =>
  readColor(getComputedStyle(document.documentElement).getPropertyValue(name));

/** Colors of windows, from the noise to the data: told apart in both themes, and by people who see fewer colors. */
export const windowColors = (dark: boolean): readonly string[] =>
  dark
    ? ["#56b4e9", "#ffb347", "#4fd6a4", "#f29fd0", "#f0e442", "#8fa8ff", "#ff8f7a", "#c3cad6"]
    : ["#0072b2", "#d55e00", "#00845c", "#b0498f", "#8a7a00", "#4256c9", "#b3261e", "#566273"];
