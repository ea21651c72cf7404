import { type Call, CommandError, UsageError } from '../host.ts';
import { ManifestError } from './manifest.ts';
import type { PodReport, Rewritten } from './rewrite.ts';
import { joinTexts, readSources, replaceFiles } from './sources.ts';

/**
 * Rewrites every manifest that a call names, then writes all of them, in place or to standard output, or none: an error in
 * one writes nothing. What became of each pod goes to standard error. Throws UsageError and CommandError.
 */
export async function rewriteAll(
  call: Call,
  rewrite: (file: string, text: string) => Rewritten,
  describe: (report: PodReport) => readonly string[],
): Promise<number> {
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
  for (const report of results.flatMap(({ pods }) => pods)) {
    for (const line of describe(report)) host.complain(`${report.where}: ${report.workload}: ${line}\n`);
  }
  return 0;
}
