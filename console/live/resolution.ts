import type { Resolution } from '../../lib/explain.ts';

/** Asks the server. Rejects with an Error whose text says what to do, where it answers anything but a resolution. */
export async function resolve(asked: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Resolution> {
  const query = new URLSearchParams(Object.entries(asked).filter(([, value]) => value !== ''));
  const answer = await fetch(`api/resolve?${query}`, { signal });
  if (!answer.ok) {
    const text = (await answer.text()).trim().slice(0, 500);
    throw new Error(text || `The server answered ${answer.status}.`);
  }
  return answer.json();
}
