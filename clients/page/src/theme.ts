// Light or dark: as the system says, until somebody chooses.

import { Keeping } from './keeping.js';

export type Theme = 'system' | 'light' | 'dark';
const kept = new Keeping(() => localStorage, 'jobwire-theme');
const darkness = matchMedia('(prefers-color-scheme: dark)');

export function chosenTheme(): Theme {
  const theme = kept.get();
  return theme === 'light' || theme === 'dark' ? theme : 'system';
}

/** Puts the theme on the page; tells which it is. */
export function applyTheme(theme: Theme = chosenTheme()): 'light' | 'dark' {
  const shown = theme === 'system' ? (darkness.matches ? 'dark' : 'light') : theme;
  document.documentElement.dataset.theme = shown;
  return shown;
}

export function chooseTheme(theme: Theme): void {
  kept.set(theme === 'system' ? undefined : theme);
  applyTheme(theme);
}

export const onSystemTheme = (call: () => void) => darkness.addEventListener('change', call);

/** A colour of the style sheet, for canvases. */
export const colour = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
