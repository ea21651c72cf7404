import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { Cluster } from './cluster.ts';
import { eventually, kubectl, pods } from './kubectl.ts';
import { proxiedGet, rawRequest } from './raw-request.ts';

/** A Service whose pods are ready and do not listen on its port. */
const REFUSING = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'refusing' },
  spec: { clusterIP: 'None', selector: { app: 'world' }, ports: [{ name: 'http', port: 80, targetPort: 9 }] },
};

/** What a pod is told when its request cannot be served. */
export function errorsSuite(cluster: Cluster, namespace: string): void {
  describe('a pod gets', () => {
    let from = { namespace, pod: '' };
    before(async () => {
      from = { namespace, pod: (await pods(namespace, 'app=hello'))[0]?.name ?? '' };
    });

    it('502 and a reason for a name that nobody has', async () => {
      const { status, fields, body } = await rawRequest(from, proxiedGet('http://nobody/'));
      assert.equal(status, 502);
      assert.equal(fields['l5d-err'], 'unknown_name');
      assert.match(body, /nobody/);
    });

    it('400 for a request that cannot be understood', async () => {
      const twoLengths =
        'POST http://world/ HTTP/1.1\r\nHost: world\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab';
      const { status, fields } = await rawRequest(from, twoLengths);
      assert.equal(status, 400);
      assert.equal(fields['l5d-err'], 'bad_request');
    });

    it('502 and a reason for a destination that refuses', async () => {
      await cluster.applyTo(namespace, JSON.stringify(REFUSING));
      const answer = await eventually('the Service has endpoints', 10_000, async () => {
        const answer = await rawRequest(from, proxiedGet(`http://refusing.${namespace}/`));
        return ['unknown_name', 'no_endpoints'].includes(answer.fields['l5d-err'] ?? '') ? undefined : answer;
      });
      assert.equal(answer.status, 502);
      assert.equal(answer.fields['l5d-err'], 'connect_failed');
      await kubectl(['-n', namespace, 'delete', 'service', 'refusing']);
    });
  });
}
