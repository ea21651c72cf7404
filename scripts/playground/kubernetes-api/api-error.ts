/** A call that the in-memory API refuses, with the `reason` words of Kubernetes' own Status objects. */
export class ApiError extends Error {
  readonly code: number;
  readonly reason: string;

  constructor(code: number, reason: string, message: string) {
    super(message);
    this.name = 'ApiError';
    this.code = code;
    this.reason = reason;
  }

  /** The `v1/Status` object that a client gets. */
  toStatus(): object {
    const { code, reason, message } = this;
    return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, code };
  }
}

export const badRequest = (message: string) => new ApiError(400, 'BadRequest', message);
export const invalid = (message: string) => new ApiError(422, 'Invalid', message);
export const expired = (message: string) => new ApiError(410, 'Expired', message);
export const notFound = (plural: string, name: string) =>
  new ApiError(404, 'NotFound', `${plural} "${name}" not found`);
export const alreadyExists = (plural: string, name: string) =>
  new ApiError(409, 'AlreadyExists', `${plural} "${name}" already exists`);
export const conflict = (plural: string, name: string, why: string) =>
  new ApiError(409, 'Conflict', `Operation cannot be fulfilled on ${plural} "${name}": ${why}`);
