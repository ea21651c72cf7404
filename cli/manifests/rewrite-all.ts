import { type Call, CommandError, UsageError } from '../host.ts';
import { ManifestError } from './manifest.ts';
import type { PodReport, Rewritten } from './rewrite.ts';
import { joinTexts, readSources, replaceFiles } from './sources.ts';

export interface Rewriting {
  readonly rewrite: (file: string, text: string) => Rewritten;
  /** What became of a pod, for a person: one line each. */
  readonly describe: (report: PodReport) => readonly string[];
  /** Whether a pod was not, or not all of it, given what was asked for it. */
  readonly isRefused: (report: PodReport) => boolean;
}

/** The exit status where everything was written, and some pod was refused. */
const REFUSED = 2;

/**
 * Rewrites every manifest that a call names, then writes all of them, in place or to standard output, or none: an error in
 * one writes nothing. What became of each pod goes to standard error, with `-o json` as one object. Gives the status to exit
 * with: 0, or 2 where a pod was refused. Throws UsageError and CommandError.
 */
export async function rewriteAll(call: Call, { rewrite, describe, isRefused }: Rewriting): Promise<number> {
  const { host, positionals, options } = call;
  if (positionals.length === 0) throw new UsageError('name a file, a folder, or - for standard input');
  if (options.write === true && positionals.includes('-')) throw new UsageError('--write has no file to change for -');
  const sources = await readSources(positionals, host);
  const errors: string[] = [];
  const results = sources.map(({ file, text }) => {
    try {
      return { file, before: text, ...rewrite(file, text) };
    } catch (error) {
      if (!(error instanceof ManifestError)) throw error;
      errors.push(error.message);
      return { file, before: text, text, pods: [] };
    }
  });
  if (errors.length > 0) throw new CommandError([...errors, 'nothing was written'].join('\n'));
  if (options.write === true) await replaceFiles(results.filter(({ before, text }) => before !== text));
  else host.write(joinTexts(results.map(({ text }) => text)));
  const pods = results.flatMap((result) => result.pods).map((pod) => ({ ...pod, refused: isRefused(pod) }));
  const refused = pods.filter((pod) => pod.refused).length;
  if (options.output === 'json') host.complain(`${JSON.stringify({ refused, pods }, null, 2)}\n`);
  else {
    const lines = pods.flatMap((pod) => describe(pod).map((line) => `${pod.where}: ${pod.workload}: ${line}\n`));
    if (lines.length > 0) host.complain(lines.join(''));
  }
  return refused > 0 ? REFUSED : 0;
}
