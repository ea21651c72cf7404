import type { Log } from '../lib/log.ts';
import type { Counter, Family, Histogram } from '../lib/metrics.ts';
import type { AdmissionAnswer, AdmissionRequest } from './admission-review.ts';
import type { InjectionSettings } from './injection.ts';
import { type Mutation, mutate, namespaceMatters } from './mutation.ts';
import type { NamespaceLabels } from './namespaces.ts';
import type { Entry } from './server.ts';

export interface ReviewerOptions {
  readonly ownNamespace: string;
  readonly namespaces: NamespaceLabels;
  /** The settings as they are at the time of a review. */
  readonly settings: () => InjectionSettings;
  /** By decision and reason. */
  readonly decisions: Family<Counter>;
  readonly latencyMs: Histogram;
  /** Milliseconds from any fixed point. */
  readonly elapsed: () => number;
  readonly log: Log;
}

/** Answers reviews: looks the namespace up where it matters, decides, counts, and writes one log line. */
export class Reviewer {
  readonly #options: ReviewerOptions;

  constructor(options: ReviewerOptions) {
    this.#options = options;
  }

  async answer(request: AdmissionRequest, entry: Entry): Promise<AdmissionAnswer> {
    const { ownNamespace, namespaces, settings, decisions, latencyMs, elapsed } = this.#options;
    const started = elapsed();
    const asked = entry === 'labelledNamespaces' && namespaceMatters(request);
    // The other entry's selector takes only namespaces without the label.
    const namespaceEnabled = asked ? await namespaces.enabled(request.namespace) : false;
    const mutation = mutate(request, { ownNamespace, namespaceEnabled, settings: settings() });
    const ms = elapsed() - started;
    decisions.with(mutation.decision, mutation.reasons[0]?.id ?? '').inc();
    latencyMs.observe(ms);
    this.#record(request, mutation, ms);
    return mutation;
  }

  #record(request: AdmissionRequest, mutation: Mutation, ms: number): void {
    const { decision, reasons, warnings, pod } = mutation;
    const line = {
      uid: request.uid,
      namespace: request.namespace,
      pod: pod?.displayName,
      owner: pod?.owner === undefined ? undefined : `${pod.owner.kind}/${pod.owner.name}`,
      dryRun: request.dryRun || undefined,
      decision,
      reasons: reasons.map((r) => r.id),
      detail: reasons.map((r) => r.text),
      warnings: warnings.length > 0 ? warnings : undefined,
      ms: Math.round(ms * 1000) / 1000,
    };
    this.#options.log.info(line, 'review');
  }
}
