// Light or dark: as the system says, until somebody chooses.

export type Theme = 'system' | 'light' | 'dark';
const KEY = 'jobwire-theme';
const darkness = matchMedia('(prefers-color-scheme: dark)');

export function chosenTheme(): Theme {
  const kept = localStorage.getItem(KEY);
  return kept === 'light' || kept === 'dark' ? kept : 'system';
}

/** Puts the theme on the page; tells which it is. */
export function applyTheme(theme: Theme = chosenTheme()): 'light' | 'dark' {
  const shown = theme === 'system' ? (darkness.matches ? 'dark' : 'light') : theme;
  document.documentElement.dataset.theme = shown;
  return shown;
}

export function chooseTheme(theme: Theme): void {
  if (theme === 'system') localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, theme);
  applyTheme(theme);
}

export const onSystemTheme = (call: () => void) => darkness.addEventListener('change', call);

/** A colour of the style sheet, for canvases. */
export const colour = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
