import { parseIntoClientConfig } from 'pg-connection-string';
import type { Limits } from '../../core/playbook.ts';
import { addSecretsOfUrl } from '../../util/redact.ts';
import { withoutDriver } from '../../util/url.ts';

/** How to reach a server; the password is in here. */
export interface Address {
  readonly url: string;
  /** As it was given: an application's tools may need the driver that it names. */
  readonly given: string;
  readonly host: string;
  readonly port: number;
  readonly application: string;
  readonly limits: ConnectionLimits;
}

/** Time limits in milliseconds. */
export type ConnectionLimits = Pick<Limits, 'connect' | 'lock' | 'statement'>;

const LIMITS: ConnectionLimits = { connect: 10_000, lock: 10_000, statement: 60_000 };
/** Reads a connection string; the environment's PGHOST, PGPORT and .pgpass count as they do for psql. */
export function addressOf(rawUrl: string, application: string, limits = LIMITS): Address {
  const url = withoutDriver(rawUrl);
  addSecretsOfUrl(url);
  const config = parseIntoClientConfig(url);
  return {
    url,
    given: rawUrl,
    host: config.host ?? process.env['PGHOST'] ?? 'localhost',
    port: Number(config.port ?? process.env['PGPORT'] ?? 5432),
    application,
    limits,
  };
}
