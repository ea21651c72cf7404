/** What part of the map is seen: map's point (x, y) stands at (x * scale + left, y * scale + top). */
export interface Viewport {
  readonly left: number;
  readonly top: number;
  readonly scale: number;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

const MIN_SCALE = 0.05;
const MAX_SCALE = 2.5;
/** A small mesh is not blown up to fill the screen. */
const MAX_FIT_SCALE = 1.1;

/** The whole map in the middle of the frame. */
export function fit(map: Size, frame: Size): Viewport {
  const scale = Math.min(MAX_FIT_SCALE, frame.width / Math.max(1, map.width), frame.height / Math.max(1, map.height));
  return { scale, left: (frame.width - map.width * scale) / 2, top: (frame.height - map.height * scale) / 2 };
}

/** Larger or smaller by `factor`; what is under (x, y) of the frame stays there. */
export function zoom(viewport: Viewport, factor: number, x: number, y: number): Viewport {
  const scale = Math.min(MAX_SCALE, Math.max(MIN_SCALE, viewport.scale * factor));
  const by = scale / viewport.scale;
  return { scale, left: x - (x - viewport.left) * by, top: y - (y - viewport.top) * by };
}

export function move(viewport: Viewport, right: number, down: number): Viewport {
  return { ...viewport, left: viewport.left + right, top: viewport.top + down };
}

/** How much is drawn at a scale: `all`, `names` without numbers, or `shapes` alone. */
export function detailAt(scale: number): 'all' | 'names' | 'shapes' {
  return scale >= 0.55 ? 'all' : scale >= 0.3 ? 'names' : 'shapes';
}
