import { useEffect, useState } from 'preact/hooks';

export type Theme = 'light' | 'dark';

const KEPT_AS = 'nodemesh-theme';

/** The reader's choice if there is one, else the system's, as it changes. Gives the theme and what switches it. */
export function useTheme(): [Theme, () => void] {
  const system = matchMedia('(prefers-color-scheme: dark)');
  const [chosen, choose] = useState<Theme | null>(keptTheme);
  const [dark, setDark] = useState(system.matches);
  useEffect(() => {
    const changed = (event: MediaQueryListEvent) => setDark(event.matches);
    system.addEventListener('change', changed);
    return () => system.removeEventListener('change', changed);
  }, [system]);
  const theme = chosen ?? (dark ? 'dark' : 'light');
  document.documentElement.dataset.theme = theme;
  const switchTheme = () => {
    const next = theme === 'dark' ? 'light' : 'dark';
    choose(next);
    try {
      localStorage.setItem(KEPT_AS, next);
    } catch {
      // A browser that keeps nothing: then it is for this visit.
    }
  };
  return [theme, switchTheme];
}

function keptTheme(): Theme | null {
  try {
    const kept = localStorage.getItem(KEPT_AS);
    return kept === 'dark' || kept === 'light' ? kept : null;
  } catch {
    return null;
  }
}
