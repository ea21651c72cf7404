import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { type ApiRequest, type KubernetesApi, KubernetesError, type PatchType } from '../../lib/kubernetes/types.ts';
import { MemoryKubernetes } from '../../scripts/playground/kubernetes-api/memory-kubernetes.ts';
import { plainApi } from './reflector.ts';

// biome-ignore lint/suspicious/noExplicitAny: the API's answers are JSON of many shapes, and each test says which it means.
export type Json = any;

/** An in-memory API, and how a test speaks to it over HTTP. */
export interface Fixture {
  readonly kubernetes: MemoryKubernetes;
  readonly api: KubernetesApi;
  readonly ask: (method: ApiRequest['method'], path: string, body?: unknown, contentType?: PatchType) => Promise<Json>;
  /** Makes a call that must be refused, and gives how. */
  readonly refusal: (...call: Parameters<Fixture['ask']>) => Promise<[status: number, reason: string]>;
}

/** Starts one that ends with the test. */
export async function startMemoryKubernetes(
  t: TestContext,
  options: Parameters<typeof MemoryKubernetes.start>[0] = {},
): Promise<Fixture> {
  const kubernetes = await MemoryKubernetes.start(options);
  t.after(() => kubernetes.stop());
  const api = plainApi(kubernetes.url);
  const ask: Fixture['ask'] = (method, path, body, contentType) =>
    api.request({ method, path, body, ...(contentType === undefined ? {} : { contentType }) });
  const refusal: Fixture['refusal'] = async (...call) => {
    const error = await ask(...call).then(
      () => assert.fail('it was not refused'),
      (e: unknown) => e,
    );
    assert.ok(error instanceof KubernetesError, String(error));
    return [error.status, error.reason];
  };
  return { kubernetes, api, ask, refusal };
}

export const PODS = '/api/v1/namespaces/default/pods';

export const podManifest = (name: string, spec: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name },
  spec,
});
