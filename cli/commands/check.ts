import { checkBefore } from '../checks/before.ts';
import { count, type Finding, failure, ok } from '../checks/finding.ts';
import { type CheckContext, checkInstalled } from '../checks/installed.ts';
import { connect } from '../cluster/connection.ts';
import { type Call, messageOf, UsageError } from '../host.ts';

const MARKS = { ok: 'ok     ', warning: 'warning', error: 'ERROR  ' };

/** `nodemesh check`: see commands.ts. Exits with 1 where a finding is an error. */
export async function run({ host, positionals, options }: Call): Promise<number> {
  if (positionals.length > 0) throw new UsageError(`check takes no argument "${positionals[0]}"`);
  const inCluster = host.env.KUBERNETES_SERVICE_HOST !== undefined;
  const context: CheckContext = { api: connect(host), now: host.now(), inCluster };
  const reachable = await checkServer(context);
  const look = options.pre === true ? checkBefore : checkInstalled;
  const findings = [reachable, ...(reachable.severity === 'ok' ? await look(context) : [])];
  const errors = findings.filter(({ severity }) => severity === 'error').length;
  const warnings = findings.filter(({ severity }) => severity === 'warning').length;
  if (options.output === 'json') host.write(`${JSON.stringify({ errors, warnings, findings }, null, 2)}\n`);
  else
    host.write(
      `${[...findings.flatMap(linesOf), '', `${count(errors, 'error')}, ${count(warnings, 'warning')}`].join('\n')}\n`,
    );
  return errors > 0 ? 1 : 0;
}

async function checkServer({ api }: CheckContext): Promise<Finding> {
  const id = 'api.reachable';
  try {
    const { gitVersion } = (await api.request({ method: 'GET', path: '/version' })) as { gitVersion?: string };
    return ok(id, `the API server at ${api.server} is Kubernetes ${gitVersion ?? 'of an unknown version'}`);
  } catch (error) {
    return failure(id, messageOf(error), 'see that kubectl version works; KUBECONFIG says which cluster is asked');
  }
}

function linesOf({ id, severity, text, hint }: Finding): string[] {
  return [`${MARKS[severity]} ${id}: ${text}`, ...(hint === undefined ? [] : [`        → ${hint}`])];
}
