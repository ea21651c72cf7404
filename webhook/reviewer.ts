import type { Log } from '../lib/log.ts';
import type { AdmissionAnswer, AdmissionRequest } from './admission-review.ts';
import type { ReasonId } from './eligibility.ts';
import type { InjectionSettings } from './injection.ts';
import { type Mutation, mutate, namespaceMatters } from './mutation.ts';
import type { NamespaceLabels } from './namespaces.ts';
import type { OwnerEvents } from './owner-events.ts';
import { viewPod } from './pod-view.ts';
import type { Entry } from './server.ts';
import type { WebhookMetrics } from './webhook-metrics.ts';

/** A log line has no more of each kind: a pod that was not validated yet may have thousands of containers. */
const MAX_SHOWN = 20;
const MAX_SHOWN_LENGTH = 253;
/** Reasons about which nobody wonders: nothing was asked for, or it is done. */
const QUIET: readonly ReasonId[] = ['not_enabled', 'unsupported_kind', 'already_injected', 'pod_not_injected'];

export interface ReviewerOptions {
  readonly ownNamespace: string;
  readonly namespaces: NamespaceLabels;
  /** The settings as they are at the time of a review. */
  readonly settings: () => InjectionSettings;
  readonly metrics: Pick<WebhookMetrics, 'countRequest' | 'decisions' | 'durationSeconds' | 'inFlight'>;
  readonly events: Pick<OwnerEvents, 'record'>;
  /** Milliseconds from any fixed point. */
  readonly elapsed: () => number;
  readonly log: Log;
}

/** Answers reviews: looks the namespace up where it matters, decides, counts, and tells in one log line and an Event. */
export class Reviewer {
  readonly #options: ReviewerOptions;

  constructor(options: ReviewerOptions) {
    this.#options = options;
  }

  /** Rejects where a fault of ours keeps the review from being answered. */
  async answer(request: AdmissionRequest, entry: Entry): Promise<AdmissionAnswer> {
    const { metrics, elapsed } = this.#options;
    const started = elapsed();
    metrics.inFlight.add(1);
    try {
      const mutation = await this.#decide(request, entry);
      const ms = elapsed() - started;
      metrics.countRequest(request.operation, mutation.decision === 'inject' ? 'injected' : 'skipped');
      metrics.decisions.with(mutation.reasons[0]?.id ?? '').inc();
      metrics.durationSeconds.observe(ms / 1000);
      this.#record(request, mutation, ms);
      if (!request.dryRun) this.#tellOwner(request, mutation);
      return mutation;
    } catch (error) {
      if (!request.dryRun) this.#tellOwnerOfFault(request);
      throw error;
    } finally {
      metrics.inFlight.add(-1);
    }
  }

  async #decide(request: AdmissionRequest, entry: Entry): Promise<Mutation> {
    const { ownNamespace, namespaces, settings } = this.#options;
    const asked = entry === 'labelledNamespaces' && namespaceMatters(request);
    // The other entry's selector takes only namespaces without the label.
    const namespaceEnabled = asked ? await namespaces.enabled(request.namespace) : false;
    return mutate(request, { ownNamespace, namespaceEnabled, settings: settings() });
  }

  #tellOwner(request: AdmissionRequest, { decision, reasons, warnings, pod, containers }: Mutation): void {
    const { namespace } = request;
    const owner = pod?.owner;
    const loud = reasons.filter(({ id }) => !QUIET.includes(id));
    // A controller makes pods; debug containers are someone's who asks for them by hand.
    if (owner === undefined || request.subResource !== '' || (decision === 'skip' && loud.length === 0)) return;
    const { events } = this.#options;
    const type = warnings.length > 0 ? 'Warning' : 'Normal';
    if (decision === 'skip') {
      const message = `pods are created without the mesh's proxy: ${loud.map(({ text }) => text).join('; ')}`;
      events.record({ namespace, owner, type, reason: 'InjectionSkipped', message });
    } else {
      const details = warnings.map((warning) => `; ${warning}`).join('');
      const message = `the mesh's proxy was given to ${containers.join(', ')}${details}`;
      events.record({ namespace, owner, type, reason: 'Injected', message });
    }
  }

  #tellOwnerOfFault({ namespace, object }: AdmissionRequest): void {
    const { owner } = viewPod(object);
    if (owner === undefined) return;
    const message = "a pod could not be given the mesh's proxy: internal error; see the webhook's log";
    this.#options.events.record({ namespace, owner, type: 'Warning', reason: 'InjectionFailed', message });
  }

  #record(request: AdmissionRequest, mutation: Mutation, ms: number): void {
    const { decision, reasons, warnings, pod, containers } = mutation;
    const line = {
      uid: shown(request.uid),
      namespace: shown(request.namespace),
      pod: shown(pod?.displayName),
      owner: pod?.owner === undefined ? undefined : `${shown(pod.owner.kind)}/${shown(pod.owner.name)}`,
      dryRun: request.dryRun || undefined,
      decision,
      reasons: [...new Set(reasons.map((r) => r.id))],
      detail: reasons.slice(0, MAX_SHOWN).map((r) => r.text),
      containers: containers.length > 0 ? containers.slice(0, MAX_SHOWN).map(shown) : undefined,
      warnings: warnings.length > 0 ? warnings.slice(0, MAX_SHOWN) : undefined,
      ms: Math.round(ms * 1000) / 1000,
    };
    this.#options.log.info(line, 'review');
  }
}

/** A name as a log line has it. */
function shown<T extends string | undefined>(name: T): T {
  return (name === undefined ? name : name.slice(0, MAX_SHOWN_LENGTH)) as T;
}
