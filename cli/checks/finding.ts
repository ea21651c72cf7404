/** One thing that was looked at. Ids are stable: scripts may go by them. */
export interface Finding {
  readonly id: string;
  readonly severity: 'ok' | 'warning' | 'error';
  readonly text: string;
  /** What to do about it; none where all is well. */
  readonly hint?: string;
}

export function ok(id: string, text: string): Finding {
  return { id, severity: 'ok', text };
}

export function warning(id: string, text: string, hint: string): Finding {
  return { id, severity: 'warning', text, hint };
}

export function failure(id: string, text: string, hint: string): Finding {
  return { id, severity: 'error', text, hint };
}

/** `1 pod`, `3 pods`. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

/** The first few of many names. */
export function few(names: readonly string[]): string {
  const shown = names.slice(0, 5).join(', ');
  return names.length > 5 ? `${shown} and ${names.length - 5} more` : shown;
}
