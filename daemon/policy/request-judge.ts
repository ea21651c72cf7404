import type { Log } from '../../lib/log.ts';
import type { Counter } from '../../lib/metrics.ts';
import { allowsRequest, type JudgedRequest, type RequestRules } from './mesh-policy.ts';

/** What becomes of a request that policies forbid: it is refused, or let through and told. */
export type PolicyMode = 'enforce' | 'audit';

/** The word of each for the log. */
export const VERB: Readonly<Record<PolicyMode, string>> = { enforce: 'refused', audit: 'would be refused' };

/** The errors that come of policies. */
export type Refusal = 'policy_denied' | 'not_synced';

/** Of one source, requests that are forbidden are logged while they differ, up to so many. */
const MAX_LOGGED = 10;
const MAX_LOGGED_TARGET = 256;

export interface RequestJudgeOptions {
  readonly mode: PolicyMode;
  /** Undefined while they cannot be known. */
  readonly rules: RequestRules | undefined;
  /** The source is a pod that has not been seen yet. */
  readonly unseen: boolean;
  readonly counter: Counter;
  /** With the source and the destination in each line. */
  readonly log: Log;
}

/** Judges one source's requests by MeshPolicies. */
export class RequestJudge {
  readonly #options: RequestJudgeOptions;
  readonly #logged = new Set<string>();

  constructor(options: RequestJudgeOptions) {
    this.#options = options;
  }

  /** Why a request is not let through; undefined where it is. */
  refusal(request: JudgedRequest): Refusal | undefined {
    const { mode, rules, unseen, counter } = this.#options;
    if (rules !== undefined && allowsRequest(rules.rules, request)) return undefined;
    if (rules !== undefined && !unseen) {
      counter.value += 1;
      this.#tell(request, rules.policies);
    }
    if (mode === 'audit') return undefined;
    return rules === undefined || unseen ? 'not_synced' : 'policy_denied';
  }

  #tell({ method, target }: JudgedRequest, policies: readonly string[]): void {
    const request = `${method} ${target.slice(0, MAX_LOGGED_TARGET)}`;
    if (this.#logged.has(request) || this.#logged.size >= MAX_LOGGED) return;
    this.#logged.add(request);
    const { mode, log } = this.#options;
    const why = `selected by MeshPolicy ${policies.join(', ')}; none allows it`;
    log.warn({ mode, direction: 'request', request }, `${VERB[mode]}: ${why}`);
  }
}
