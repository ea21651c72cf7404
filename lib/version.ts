import manifest from '../package.json' with { type: 'json' };

/** nodemesh's own. */
export const VERSION: string = manifest.version;
