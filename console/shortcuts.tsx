import { useEffect, useRef } from 'preact/hooks';
import { routeTo, VIEWS } from './route.ts';

const KEYS = [
  ...VIEWS.map(({ title }, index) => [String(index + 1), title] as const),
  ['/', 'Go to the filter'],
  ['t', 'Dark or light'],
  ['arrows, + −, 0', 'On the map: move, zoom, show all'],
  ['n, p, Enter', 'On the map: next node, one before, open it'],
  ['Space', 'On the tap: pause and go on'],
  ['?', 'This list'],
] as const;

/** Keys that work everywhere but where something is typed. */
export function useShortcuts(switchTheme: () => void, showHelp: () => void): void {
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      if (event.ctrlKey || event.metaKey || event.altKey || /^(?:INPUT|SELECT|TEXTAREA)$/.test(target.tagName)) return;
      const view = VIEWS[Number(event.key) - 1];
      if (view !== undefined) location.hash = routeTo(view.view);
      else if (event.key === 't') switchTheme();
      else if (event.key === '?') showHelp();
      else if (event.key === '/') document.querySelector<HTMLInputElement>('main input')?.focus();
      else return;
      event.preventDefault();
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  });
}

/** The list of keys, as a dialog: Escape closes it, and the focus goes back to where it was. */
export function Shortcuts({ onClose }: { onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} onClose={onClose} aria-label="Keyboard shortcuts">
      <h2>Keyboard shortcuts</h2>
      <dl>
        {KEYS.map(([key, what]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <button type="button" onClick={() => dialog.current?.close()}>
        Close
      </button>
    </dialog>
  );
}
