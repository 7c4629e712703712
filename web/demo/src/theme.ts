/** Light or dark: as the system has it, or as the visitor wants. */

import { byId } from './dom.ts';

const KEY = 'cloze-demo-theme';

export function startTheme(changed: () => void): void {
  const button = byId('theme');
  const system = matchMedia('(prefers-color-scheme: dark)');
  let wish = read();
  const apply = (): void => {
    if (wish) document.documentElement.dataset.theme = wish;
    button.ariaPressed = String((wish ?? (system.matches ? 'dark' : 'light')) === 'dark');
    changed();
  };
  button.addEventListener('click', () => {
    wish = button.ariaPressed === 'true' ? 'light' : 'dark';
    try {
      localStorage.setItem(KEY, wish);
    } catch {
      // A browser that keeps nothing: until the page is closed, then.
    }
    apply();
  });
  system.addEventListener('change', apply);
  apply();
}

function read(): 'light' | 'dark' | undefined {
  try {
    const value = localStorage.getItem(KEY);
    return value === 'light' || value === 'dark' ? value : undefined;
  } catch {
    return undefined;
  }
}
