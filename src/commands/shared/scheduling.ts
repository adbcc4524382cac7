import { messageOf } from '../../core/errors.ts';
import type { Playbook } from '../../core/playbook.ts';
import { Outbox } from '../../run/notify/outbox.ts';
import type { Surroundings } from '../../run/open.ts';
import { untoldNotice, type Untold } from '../../schedule/untold.ts';
import type { Places } from '../../schedule/places.ts';
import type { Options } from './io.ts';
import { collectMetrics, serveMetrics, writeMetrics } from './metrics.ts';
import { outboxOf } from '../running/notifying.ts';
import { repeatFlags } from '../arguments/repeat-flags.ts';

export type MetricsOptions = Options<{
  metricsFile?: string;
  metricsPort?: string;
  metricsHost?: string;
  metricsLag?: true;
}>;

/** The metrics that a scheduler keeps up to date. */
export interface KeptMetrics {
  /** Brings the file up to date some time; returns at once, and a failure is only said. */
  refresh(): void;
  /** Up to date once more, and nobody is answered any more. */
  end(): Promise<void>;
}

/** Begins with both, a file and a port; throws when one of them cannot be. Later on a failure is only said. */
export async function keepMetrics(
  options: MetricsOptions,
  places: Places,
  around: Surroundings,
  say: (line: string) => void,
): Promise<KeptMetrics> {
  const { metricsFile: file, metricsPort: port, metricsHost: host = '127.0.0.1' } = options;
  const collect = (): Promise<string> =>
    collectMetrics(options, { ...places, say: () => undefined }, options.metricsLag ? around : undefined);
  const write = async (): Promise<void> => {
    if (file !== undefined) await writeMetrics(file, await collect());
  };
  await write();
  const server = port === undefined ? undefined : await serveMetrics({ host, port }, collect);
  if (server) say(`metrics are at ${server.url}`);
  let writing = Promise.resolve();
  let again = false;
  let failing = false;
  const refresh = (): void => {
    // One that waits for its turn will see what is there by then.
    if (again) return;
    again = true;
    writing = writing
      .then(() => {
        again = false;
        return write();
      })
      .then(
        () => (failing = false),
        (error: unknown) => {
          // Once, until it has worked again.
          if (!failing) say(messageOf(error));
          failing = true;
        },
      )
      .then(() => undefined);
  };
  return {
    refresh,
    async end() {
      refresh();
      await writing;
      await server?.end();
    },
  };
}

/** Tells what no run can tell of, while other work goes on. */
export class Teller {
  readonly #options: Options;
  readonly #around: Surroundings;
  readonly #say: (line: string) => void;
  readonly #outboxes = new Set<Outbox>();

  constructor(options: Options, around: Surroundings, say: (line: string) => void) {
    this.#options = options;
    this.#around = around;
    this.#say = say;
  }

  /** Returns at once. */
  tell(playbook: Playbook, untold: Untold): void {
    // Each with the settings of its playbook as they are now.
    const outbox = outboxOf(this.#around, playbook, this.#say);
    const { message, next, ...notice } = untoldNotice(playbook, untold, new Date());
    const spell = repeatFlags(this.#options);
    for (const each of this.#outboxes) if (each.pending === 0) this.#outboxes.delete(each);
    this.#outboxes.add(outbox);
    outbox.post({ ...notice, message: spell(message), next: spell(next) });
  }

  get pending(): number {
    return [...this.#outboxes].reduce((sum, { pending }) => sum + pending, 0);
  }

  /** Waits a bounded time for what is not delivered. */
  async end(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#outboxes].map((outbox) => outbox.end(signal)));
  }
}
