import type { PolicyPod } from '../../lib/kubernetes/policy-pod.ts';
import type { PolicyView } from './policy-view.ts';

const MAX_SOURCES = 4_096;

/** Where a request comes from, as policies see it. One object as long as address and pod are the same. */
export interface CallerSource {
  readonly ip: string;
  /** Undefined for whatever is no pod with an address of its own. */
  readonly pod: PolicyPod | undefined;
  /** Its own node's daemon has proved itself, and has judged what the pod may send. */
  readonly vouched: boolean;
  /** A daemon names a pod that this one has not seen (yet), or has not proved itself (yet). */
  readonly unseen: boolean;
  /** What a peer is told of it: `mesh-source`. */
  readonly peerLine: string;
  /** What an application is told of it: `mesh-client`; empty where that is not wanted, or nobody knows. */
  readonly clientLine: string;
}

interface Asserted {
  readonly ip: string;
  /** The pod at that address when it was judged. */
  readonly seen: PolicyPod | undefined;
  readonly source: CallerSource;
}

/** Who calls, by the address of a connection or by what the caller's own daemon says. Every answer is remembered. */
export class CallerSources {
  readonly #view: PolicyView;
  readonly #tellsClient: boolean;
  readonly #workloadAt: ((ip: string) => string) | undefined;
  readonly #byAddress = new Map<string, CallerSource>();
  readonly #unproven = new Map<string, CallerSource>();
  /** By node, then by what its daemon said. */
  readonly #asserted = new Map<string, Map<string, Asserted>>();

  /** `tellsClient`: whether applications are told who calls. `workloadAt`: of a pod of this node, where peers are told of it too. */
  constructor(view: PolicyView, tellsClient: boolean, workloadAt?: (ip: string) => string) {
    this.#view = view;
    this.#tellsClient = tellsClient;
    this.#workloadAt = workloadAt;
  }

  /** Whoever connects here from an address. */
  at(address: string): CallerSource {
    const known = this.#byAddress.get(address);
    const pod = this.#view.pod(address);
    if (known !== undefined && known.pod === pod) return known;
    const source = this.#make(address, pod, { vouched: false, unseen: false });
    if (this.#byAddress.size >= MAX_SOURCES) this.#byAddress.clear();
    this.#byAddress.set(address, source);
    return source;
  }

  /**
   * What a daemon of `node`, which has proved itself, says in `mesh-source`. It is believed of pods of its own node alone; of
   * any other pod, or of nothing, the source is the daemon itself, at `address`.
   */
  saidBy(node: string, said: string | undefined, address: string): CallerSource {
    if (said === undefined) return this.at(address);
    let ofNode = this.#asserted.get(node);
    if (ofNode === undefined) {
      ofNode = new Map();
      this.#asserted.set(node, ofNode);
    }
    const known = ofNode.get(said);
    if (known !== undefined && known.seen === this.#view.pod(known.ip)) return known.source;
    const judged = this.#judge(node, said, address);
    if (ofNode.size >= MAX_SOURCES) ofNode.clear();
    ofNode.set(said, judged);
    return judged.source;
  }

  /** A caller at `address` says whose request it is, as a daemon does, and has proved nothing: a moment later it may have. */
  unproven(address: string): CallerSource {
    const known = this.#unproven.get(address);
    if (known !== undefined) return known;
    const source = this.#make(address, undefined, { vouched: false, unseen: true });
    if (this.#unproven.size >= MAX_SOURCES) this.#unproven.clear();
    this.#unproven.set(address, source);
    return source;
  }

  #judge(node: string, said: string, address: string): Asserted {
    const [ip = '', name] = said.split(' ');
    const seen = this.#view.pod(ip);
    if (seen !== undefined && seen.nodeName !== node) {
      return { ip, seen, source: this.#make(address, undefined, { vouched: false, unseen: false }) };
    }
    const pod = seen !== undefined && `${seen.namespace}/${seen.name}` === name ? seen : undefined;
    const source =
      pod === undefined
        ? this.#make(address, undefined, { vouched: true, unseen: true })
        : this.#make(ip, pod, { vouched: true, unseen: false });
    return { ip, seen, source };
  }

  #make(ip: string, pod: PolicyPod | undefined, how: { vouched: boolean; unseen: boolean }): CallerSource {
    return { ip, pod, ...how, peerLine: this.#peerLine(ip, pod), clientLine: this.#tellsClient ? clientLine(pod) : '' };
  }

  #peerLine(ip: string, pod: PolicyPod | undefined): string {
    if (pod === undefined) return '';
    const workload = this.#workloadAt === undefined ? '' : ` ${this.#workloadAt(ip)}`;
    return `mesh-source: ${ip} ${pod.namespace}/${pod.name}${workload}\r\n`;
  }
}

/** What a daemon says in `mesh-source`, for those who keep no verdict by it. */
export function saidSource(
  said: string,
): { namespace: string; workload: string | undefined; name: string } | undefined {
  const [, key = '', workload] = said.split(' ');
  const slash = key.indexOf('/');
  return slash === -1 ? undefined : { namespace: key.slice(0, slash), workload, name: key.slice(slash + 1) };
}

function clientLine(pod: PolicyPod | undefined): string {
  if (pod === undefined) return '';
  const { namespace, serviceAccount = 'default', name } = pod;
  return `mesh-client: namespace=${namespace};serviceaccount=${serviceAccount};pod=${name}\r\n`;
}
