import { type DestinationStream, type Logger, pino } from 'pino';

export type Log = Logger;

/** The levels that a person may set, most talkative first (pino's names). */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * The one way to make a logger: JSON lines with an ISO time, written synchronously so that the last line before an exit
 * is never lost. Takes the process's name and level; gives a logger that parts derive children from.
 */
export function createLog(name: string, level: LogLevel | 'silent', destination?: DestinationStream): Log {
  const options = { name, level, base: { name }, timestamp: pino.stdTimeFunctions.isoTime };
  return destination === undefined ? pino(options) : pino(options, destination);
}
