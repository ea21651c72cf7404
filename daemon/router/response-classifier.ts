const READ = ['GET', 'HEAD', 'OPTIONS', 'TRACE'];
const IDEMPOTENT = [...READ, 'PUT', 'DELETE'];
const ALL = [...IDEMPOTENT, 'POST', 'PATCH'];

/** For which methods a 5xx is tried again, by linkerd's `responseClassifier.kind` (linkerd 1.x, "HTTP Response Classifiers"). */
const RETRYABLE_METHODS = {
  'io.l5d.http.nonRetryable5XX': [],
  'io.l5d.http.retryableRead5XX': READ,
  'io.l5d.http.retryableIdempotent5XX': IDEMPOTENT,
  'io.l5d.http.retryableAll5XX': ALL,
  'io.l5d.http.allSuccessful': [],
} as const satisfies Record<string, readonly string[]>;

export type ClassifierKind = keyof typeof RETRYABLE_METHODS;

export const CLASSIFIER_KINDS = Object.keys(RETRYABLE_METHODS) as [ClassifierKind, ...ClassifierKind[]];

/** What counts as a failure of a Service, and which failures may be tried again. */
export class ResponseClassifier {
  readonly #retryable: ReadonlySet<string>;
  readonly #nothingFails: boolean;

  constructor(kind: ClassifierKind) {
    this.#retryable = new Set<string>(RETRYABLE_METHODS[kind]);
    this.#nothingFails = kind === 'io.l5d.http.allSuccessful';
  }

  /** `status` of an answer, 0 where none was complete. */
  isFailure(status: number): boolean {
    return !this.#nothingFails && (status === 0 || status >= 500);
  }

  /** Whether a request that failed may be sent again although an application may have worked on it. */
  mayRetry(method: string): boolean {
    return this.#retryable.has(method);
  }
}

/** Whether what was sent twice does what was sent once (RFC 9110 §9.2.2). */
export function isIdempotent(method: string): boolean {
  return IDEMPOTENT.includes(method);
}
