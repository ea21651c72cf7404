/** A daemon's answer to `/resolve`: how a name would be resolved for a caller, step by step. */
export interface Resolution {
  readonly node: string;
  readonly asked: {
    readonly host: string;
    readonly from: string | null;
    readonly method: string;
    readonly path: string;
  };
  readonly caller: {
    readonly ip: string;
    readonly namespace: string;
    readonly pod: string;
    readonly workload: string;
    readonly known: boolean;
    readonly why: string;
  };
  /** In order, for people to read. */
  readonly steps: readonly {
    readonly step: string;
    readonly title: string;
    readonly detail: string;
    readonly ok: boolean;
  }[];
  readonly name: string | null;
  readonly endpoints: readonly ResolvedEndpoint[];
  readonly outcome: { readonly ok: boolean; readonly error: string | null; readonly text: string };
}

export interface ResolvedEndpoint {
  readonly address: string;
  readonly pod: string | null;
  readonly node: string | null;
  readonly zone: string | null;
  readonly ready: boolean;
  readonly gateway: string | null;
  /** 0..1, as drawn now. */
  readonly weight: number | null;
  readonly latencyMs: number | null;
  readonly inFlight: number | null;
  readonly out: boolean;
  /** Why it is not used. */
  readonly dropped: string | null;
  readonly policy: { readonly verdict: string; readonly by: string };
}

/** Asks the server. Rejects with an Error whose text says what to do, where it answers anything but a resolution. */
export async function resolve(asked: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Resolution> {
  const query = new URLSearchParams(Object.entries(asked).filter(([, value]) => value !== ''));
  const answer = await fetch(`api/resolve?${query}`, { signal });
  if (!answer.ok) {
    const text = (await answer.text()).trim().slice(0, 500);
    throw new Error(text || `The server answered ${answer.status}.`);
  }
  return answer.json();
}
