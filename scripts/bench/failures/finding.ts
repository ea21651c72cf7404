const SHOWN_REASONS = 5;

/** One figure of a case. */
export interface Finding {
  readonly case: string;
  readonly what: string;
  readonly measured: number;
  readonly unit: string;
  /** What it must not exceed; undefined for what is only told. */
  readonly limit?: number;
  /** What failed, and why, for whoever looks into it. */
  readonly reasons?: readonly string[];
}

/** `case · what   measured   (at most limit) held`, as a line of text, and what failed. */
export function findingLine(finding: Finding): string {
  const { what, limit, unit } = finding;
  const wanted = limit === undefined ? '' : `   at most ${limit}${unit}   ${held(finding) ? 'held' : 'NOT HELD'}`;
  const reasons = (finding.reasons ?? []).slice(0, SHOWN_REASONS).map((reason) => `\n    ${reason}`);
  return `${finding.case} · ${what}: ${figure(finding)}${wanted}${reasons.join('')}`;
}

/** A page in Markdown, one row a figure. `where`: on what machine, when. */
export function page(findings: readonly Finding[], where: string): string {
  const rows = findings.map((finding, i) => {
    const { what, limit, unit } = finding;
    const name = finding.case === findings[i - 1]?.case ? '' : finding.case;
    const cells = limit === undefined ? ['', ''] : [`≤ ${limit}${unit}`, held(finding) ? 'held' : '**not held**'];
    return `| ${[name, what, figure(finding), ...cells].join(' | ')} |`;
  });
  return `# What failures cost callers, on real sockets

Written by \`npm run bench -- failures\`: daemons as processes, one a node, on loopback addresses; pods that are processes too, and do
as they are told (latency, failures, SIGTERM); an API server in memory; requests at a fixed rate, whatever becomes of those before,
from a pod of one node. A case that does not hold while other programs take more than a quarter of the machine is done again, twice at
most, and cases may be of different runs. ${where}

[docs/simulate](../simulate/README.md) has the like on a virtual clock, with more pods and beside other balancers.

| case | figure | measured | limit |  |
| --- | --- | ---: | ---: | --- |
${rows.join('\n')}

Rolling restarts end pods as Kubernetes does: SIGTERM at the moment at which their deletion is noted, their endpoints say so 100 ms later,
and a pod closes connections whenever they are idle, announced by nothing. Killed daemons are still called ready for 1.5 s, and are back
2 s later. In linkerd's examples (\`failure-accrual\`, \`add-steps\`) what is compared is linkerd's own question: the same pods, in turns.
`;
}

/** Whether a figure is within its limit. */
export function held({ measured, limit }: Finding): boolean {
  return limit === undefined || measured <= limit;
}

function figure({ measured, unit }: Finding): string {
  return `${Number.isInteger(measured) ? measured : measured.toFixed(2)}${unit}`;
}
