import type { KeyObject } from 'node:crypto';
import { type CertificateRequest, readCertificateRequest } from '../lib/certificates/certificate-request.ts';
import { DAEMON_ACCOUNT, nodeOfId, SIGNER_NAME } from '../lib/certificates/node-identity.ts';
import type { Pod } from '../lib/kubernetes/pod.ts';
import type { KubernetesObject } from '../lib/kubernetes/types.ts';

/** Where the API server says which pod a ServiceAccount's token is bound to. */
const POD_NAME = 'authentication.kubernetes.io/pod-name';
const POD_UID = 'authentication.kubernetes.io/pod-uid';
const USAGES = new Set(['digital signature', 'client auth', 'server auth']);

/** certificates.k8s.io/v1 CertificateSigningRequest, as far as it is read here. Who asks, the API server itself fills in. */
export interface SigningRequest extends KubernetesObject {
  readonly spec: {
    readonly request: string;
    readonly signerName: string;
    readonly usages?: readonly string[] | null;
    readonly expirationSeconds?: number;
    readonly username?: string;
    readonly extra?: Readonly<Record<string, readonly string[]>> | null;
  };
  readonly status?: {
    readonly certificate?: string;
    readonly conditions?: readonly Condition[] | null;
  };
}

export interface Condition {
  readonly type: string;
  readonly status?: string;
  readonly reason?: string;
  readonly message?: string;
}

/** What may be signed, or why nothing may. */
export type NodeRequestVerdict =
  | { readonly uri: string; readonly node: string; readonly publicKey: KeyObject }
  | { readonly refusal: string };

/** Whether a request still waits for an answer of ours. */
export function isPending({ spec, status }: SigningRequest): boolean {
  if (spec.signerName !== SIGNER_NAME || status?.certificate !== undefined) return false;
  return status?.conditions?.some(({ type }) => type === 'Denied' || type === 'Failed') !== true;
}

/** The pod that the requester's token is bound to, by name and uid; undefined where the API server does not say. */
export function requestingPod({ spec }: SigningRequest): { name: string; uid: string | undefined } | undefined {
  const name = spec.extra?.[POD_NAME]?.[0];
  return name === undefined ? undefined : { name, uid: spec.extra?.[POD_UID]?.[0] };
}

/**
 * Judges a request: of the daemon's ServiceAccount, by a token bound to a pod that runs on the node that the request names, for
 * that node's name and nothing else. `pod`: the one of `requestingPod` in the mesh's own namespace, as the API server has it.
 */
export function judgeNodeRequest(
  request: SigningRequest,
  pod: Pod | undefined,
  mesh: { readonly namespace: string; readonly trustDomain: string },
): NodeRequestVerdict {
  const { spec } = request;
  const account = `system:serviceaccount:${mesh.namespace}:${DAEMON_ACCOUNT}`;
  if (spec.username !== account) return { refusal: `it was made by ${spec.username}, and not by ${account}` };
  const bound = requestingPod(request);
  if (bound === undefined) return { refusal: 'its token is bound to no pod: the daemon needs a projected token' };
  if (pod === undefined) return { refusal: `there is no pod ${mesh.namespace}/${bound.name}` };
  if (bound.uid !== undefined && bound.uid !== pod.uid) {
    return { refusal: `its token is of another pod that was called ${bound.name}` };
  }
  const strange = (spec.usages ?? []).find((usage) => !USAGES.has(usage));
  if (strange !== undefined) return { refusal: `it asks for the usage "${strange}"` };
  let asked: CertificateRequest;
  try {
    asked = readCertificateRequest(Buffer.from(spec.request, 'base64').toString());
  } catch (error) {
    return { refusal: error instanceof Error ? error.message : String(error) };
  }
  if (asked.publicKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1') return { refusal: 'its key is not EC P-256' };
  const [uri = '', ...others] = asked.uris;
  const node = nodeOfId(mesh.trustDomain, uri);
  if (node === undefined || others.length > 0) {
    return {
      refusal: `it asks for "${asked.uris.join(', ')}", which is not the name of one node of ${mesh.trustDomain}`,
    };
  }
  if (pod.nodeName !== node) {
    return { refusal: `it asks for node ${node}, and its pod ${pod.name} runs on node ${pod.nodeName}` };
  }
  return { uri, node, publicKey: asked.publicKey };
}
