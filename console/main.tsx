import { render } from 'preact';
import { App } from './app.tsx';
import { answerLayouts } from './map/layout-worker.ts';

// The map's layout runs in a worker of the same file: one bundle, and the page stays fluid.
if (typeof document === 'undefined') answerLayouts();
else {
  const place = document.getElementById('console');
  if (place !== null) render(<App />, place);
}
