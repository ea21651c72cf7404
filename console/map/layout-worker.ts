import { type Layout, type LayoutInput, layOut } from './layout.ts';

interface Job {
  readonly number: number;
  readonly input: LayoutInput;
}

interface Done {
  readonly number: number;
  readonly layout: Layout;
}

/** The worker's side: lays out what it is sent, one after the other. */
export function answerLayouts(): void {
  addEventListener('message', ({ data }: MessageEvent<Job>) => {
    const done: Done = { number: data.number, layout: layOut(data.input) };
    postMessage(done);
  });
}

// Read while the script runs, which is the only time that it is known.
const SCRIPT = typeof document === 'undefined' ? '' : ((document.currentScript as HTMLScriptElement | null)?.src ?? '');

let worker: Worker | undefined;
let jobs = 0;

/** The page's side: calls back with the layout, unless the returned function was called before. */
export function requestLayout(input: LayoutInput, onDone: (layout: Layout) => void): () => void {
  worker ??= new Worker(SCRIPT);
  const port = worker;
  const number = ++jobs;
  const listen = ({ data }: MessageEvent<Done>) => {
    if (data.number !== number) return;
    port.removeEventListener('message', listen);
    onDone(data.layout);
  };
  port.addEventListener('message', listen);
  port.postMessage({ number, input } satisfies Job);
  return () => port.removeEventListener('message', listen);
}
