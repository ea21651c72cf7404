import type { Socket } from 'node:net';
import { TestMesh, until } from './mesh.ts';
import { ask, RawServer, type RawTarget } from './raw-http.ts';

/** The only application, reached as this name in every namespace. */
export const WEB = 'web.shop';

/** A way to the application, and how many daemons stand on it. */
export interface MeshPath {
  readonly name: string;
  readonly daemons: number;
  readonly target: RawTarget;
  /** The request as it is sent on this path. */
  dress(request: string): string;
}

interface Stage {
  script: (socket: Socket) => void;
}

/**
 * Two daemons and one application on raw sockets, on the second node, with every way to it: from a pod beside it, from a pod
 * of the other node through both daemons, and straight to its daemon's incoming router, by name and as the pod that was picked.
 */
export class MeshPaths {
  readonly mesh: TestMesh;
  readonly paths: readonly MeshPath[];
  readonly #app: RawServer;
  readonly #stage: Stage;

  private constructor(mesh: TestMesh, app: RawServer, stage: Stage, paths: readonly MeshPath[]) {
    this.mesh = mesh;
    this.#app = app;
    this.#stage = stage;
    this.paths = paths;
  }

  /**
   * `net`: the first two bytes of all addresses, one a mesh. `tls`: between the daemons; where it is required there is no
   * straight way to an incoming router.
   */
  static async start(net: string, tls: 'off' | 'required' = 'off'): Promise<MeshPaths> {
    const nodes = { 'node-1': `${net}.1.1`, 'node-2': `${net}.2.1` };
    const mesh = await TestMesh.start(nodes, true, { tls });
    const place = { namespace: 'shop', node: 'node-2', name: 'web', ip: `${net}.2.10` };
    const stage: Stage = { script: () => {} };
    const app = await RawServer.start((socket) => stage.script(socket), place.ip);
    await mesh.pod(place);
    const near = await mesh.pod({ ...place, name: 'near', ip: `${net}.2.11` });
    const far = await mesh.pod({ ...place, name: 'far', node: 'node-1', ip: `${net}.1.11` });
    await mesh.service('shop', 'web', [{ name: 'http', port: 80 }]);
    await mesh.endpoints('shop', 'web', [{ ...place, port: app.port }]);
    const to = (node: keyof typeof nodes, router: string, localAddress: string): RawTarget => ({
      host: nodes[node],
      port: mesh.daemon(node).port(router),
      localAddress,
    });
    const asIs = (request: string) => request;
    const picked = `\r\nmesh-endpoint: ${place.ip}:${app.port}\r\nmesh-service: ${WEB}\r\n`;
    const straight: MeshPath[] = [
      { name: 'incoming by name', daemons: 1, target: to('node-2', 'incoming', '127.0.0.1'), dress: asIs },
      {
        name: 'incoming by pick',
        daemons: 1,
        target: to('node-2', 'incoming', far.ip),
        dress: (request) => request.replace('\r\n', picked),
      },
    ];
    const started = new MeshPaths(mesh, app, stage, [
      { name: 'outgoing', daemons: 1, target: to('node-2', 'outgoing', near.ip), dress: asIs },
      ...(tls === 'off' ? straight : []),
      { name: 'host to host', daemons: 2, target: to('node-1', 'outgoing', far.ip), dress: asIs },
    ]);
    started.play((socket) => socket.on('data', () => socket.end('HTTP/1.1 204 No Content\r\n\r\n')));
    for (const { target, dress } of started.paths) {
      await until(
        () => ask(target, dress(`GET / HTTP/1.1\r\nHost: ${WEB}`)),
        ({ status }) => status === 204,
      );
    }
    return started;
  }

  /** What the application does with each connection from now on; those of before are closed. */
  play(script: (socket: Socket) => void): void {
    this.#stage.script = script;
    this.#app.disconnect();
  }

  async stop(): Promise<void> {
    await this.mesh.stop();
    await this.#app.stop();
  }
}
