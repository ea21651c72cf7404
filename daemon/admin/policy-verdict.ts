import type { PolicyVerdict } from '../../lib/explain.ts';
import type { PolicyFinding } from '../policy/endpoint-gate.ts';

/**
 * What a gate's findings come to. `elsewhere`: the node whose daemon judges ingress, where that is not this one: what is said of
 * it then is as far as this daemon knows the same policies and pods.
 */
export function policyVerdict(findings: readonly PolicyFinding[], elsewhere: string | undefined): PolicyVerdict {
  const judge = ({ of }: PolicyFinding) =>
    elsewhere === undefined || of === 'egress' ? '' : `, judged by the daemon of ${elsewhere}`;
  const refused = findings.find(({ refusal, mode }) => refusal !== undefined && mode === 'enforce');
  if (refused?.refusal === 'policy_denied') {
    return { verdict: 'denied', by: `${nameOf(refused)}${judge(refused)}` };
  }
  if (refused !== undefined) {
    const why = 'the policies, or one of the two pods, have not been read yet';
    return { verdict: 'unknown', by: judge(refused) === '' ? why : judge(refused).slice(2) };
  }
  const told = findings.filter(({ refusal, policies }) => refusal !== 'not_synced' && policies.length > 0);
  const by = told.map(
    (one) => `${nameOf(one)}${one.refusal === undefined ? '' : ' would deny it (audit)'}${judge(one)}`,
  );
  return { verdict: 'allowed', by: by.length === 0 ? 'none' : by.join('; ') };
}

function nameOf({ of, policies }: PolicyFinding): string {
  return of === 'request' ? `MeshPolicy ${policies.join(', ')}` : `NetworkPolicy ${policies.join(', ')} (${of})`;
}
