import { LOG_LEVELS, type Log } from '../../lib/log.ts';
import type { MetricsRegistry } from '../../lib/metrics.ts';
import type { DaemonConfig, DaemonEnvironment } from '../config.ts';
import { ofKind } from '../telemetry-config.ts';
import { AccessLog, type AccessLogOptions } from './access-log.ts';
import { combinedLine } from './combined-format.ts';
import type { RecordClocks } from './exchange-record.ts';
import { LineWriter } from './line-writer.ts';
import { Recorder } from './recorder.ts';
import { redactedHeaders } from './tap-sink.ts';

export interface TelemetryOptions extends RecordClocks {
  readonly config: DaemonConfig;
  readonly environment: DaemonEnvironment;
  readonly registry: MetricsRegistry;
  readonly log: Log;
  /** Gives numbers in [0, 1). */
  readonly random: () => number;
}

/** linkerd's `io.l5d.recentRequests`. */
export interface RecentOptions {
  /** So many are kept. */
  readonly capacity: number;
  /** Whether the next one is among those that are looked at. */
  readonly drawn: () => boolean;
}

/** What the config's `telemetry` asks of one thread, beside its counts. */
export class Telemetry {
  readonly recorder: Recorder;
  /** Whose values nobody is shown; lower-case. */
  readonly redactedHeaders: ReadonlySet<string>;
  /** What `/requests` is to show; undefined: nothing. */
  readonly recent: RecentOptions | undefined;
  readonly #options: TelemetryOptions;
  readonly #writers: LineWriter[] = [];

  constructor(options: TelemetryOptions) {
    const { config, environment } = options;
    this.#options = options;
    this.recorder = new Recorder(environment.nodeName, options);
    this.redactedHeaders = redactedHeaders(ofKind(config.telemetry, 'nodemesh.tap').flatMap(({ redact }) => redact));
    this.recent = ofKind(config.telemetry, 'io.l5d.recentRequests').map(({ capacity, sampleRate }) => ({
      capacity,
      drawn: () => options.random() < sampleRate,
    }))[0];
    for (const log of ofKind(config.telemetry, 'nodemesh.accessLog')) this.#log(log.path, log);
    for (const { httpAccessLog: path, role } of config.routers) {
      if (path !== undefined) this.#log(path, { sampleRate: 1, only: [], redact: [], role, format: combinedLine });
    }
    for (const { level, sampleRate } of ofKind(config.telemetry, 'io.l5d.tracelog')) {
      const shown = LOG_LEVELS.indexOf(level) >= LOG_LEVELS.indexOf(config.logLevel);
      if (shown) this.#log('stdout', { sampleRate, only: [], redact: [] });
    }
  }

  /** Settles once what waits is written, or cannot be at once. */
  async stop(): Promise<void> {
    await Promise.all(this.#writers.map((writer) => writer.end()));
  }

  #log(path: string, what: Omit<AccessLogOptions, 'writer' | 'random'>): void {
    const { registry, log, random } = this.#options;
    const dropped = registry.counter(
      'access_log_dropped_total',
      'Lines of the access log that were not written: its file or pipe is too slow, full or away.',
    );
    const writer = new LineWriter({ path, dropped: dropped.with(), log });
    this.#writers.push(writer);
    this.recorder.add(new AccessLog({ ...what, writer, random }));
  }
}
