import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { StandInKit, StandInPooler, Undo } from '../../core/drivers/stand-in.ts';
import type { Side } from '../../core/side.ts';
import { addSecret } from '../../util/redact.ts';
import { CHILD_VARIABLE } from '../../util/stray.ts';
import { preparePooler, type Pooler } from './pooler.ts';
import type { Network } from './network.ts';
import { obstruct, occupy } from './refusing.ts';
import { CLIENT, type Stage } from './stage.ts';

/** What stands in for the targets of one take. */
export class Kit implements StandInKit {
  readonly urls: Readonly<Record<Side, string>>;
  readonly references = { blue: '${CUTOVER_STAGE_BLUE}', green: '${CUTOVER_STAGE_GREEN}' };
  /** What the references stand for; secret. */
  readonly variables: Record<string, string>;
  readonly #stage: Stage;
  readonly #folder: string;
  readonly #poolers: Pooler[] = [];
  readonly #network: Network | undefined;
  #files = 0;

  /**
   * `scheme` is that of the connection string in the playbook: it may name an application's driver. `network` is the way
   * by which the tool and poolers reach the servers, if not directly.
   */
  constructor(stage: Stage, folder: string, scheme: string, network?: Network) {
    this.#stage = stage;
    this.#folder = folder;
    this.#network = network;
    const given = (side: Side): string => this.#way(stage.url(side)).replace(/^postgres(?:ql)?/, scheme);
    this.urls = { blue: stage.clientUrl('blue'), green: stage.clientUrl('green') };
    this.variables = { CUTOVER_STAGE_BLUE: given('blue'), CUTOVER_STAGE_GREEN: given('green') };
  }

  async file(name: string, text: string): Promise<string> {
    this.#files += 1;
    const path = join(this.#folder, `${this.#files}-${name}`);
    await mkdir(this.#folder, { recursive: true });
    await writeFile(path, text, { mode: 0o600 });
    return path;
  }

  async pooler(entries: readonly string[]): Promise<StandInPooler> {
    const password = randomBytes(12).toString('hex');
    addSecret(password);
    const { hostname, port } = new URL(this.#way(this.urls.blue));
    const host = hostname.replace(/^\[(.*)\]$/, '$1');
    const { names, clientPassword } = this.#stage;
    const number = this.#poolers.length + 1;
    const launch = await preparePooler({
      folder: join(this.#folder, `pgbouncer-${number}`),
      lines: entries.map((entry) => `${entry} = host=${host} port=${port} dbname=${quoted(names.blue)}`),
      users: { [CLIENT]: clientPassword, admin: password },
      env: { [CHILD_VARIABLE]: this.#stage.mark },
    });
    const pooler = await launch();
    this.#poolers.push(pooler);
    const variable = `CUTOVER_STAGE_PGBOUNCER_${number}`;
    this.variables[variable] = pooler.url('admin', 'pgbouncer');
    return {
      admin: `\${${variable}}`,
      file: pooler.file,
      url: (entry) => pooler.url(CLIENT, entry),
    };
  }

  #way(url: string): string {
    return this.#network?.through(url) ?? url;
  }

  get renames(): boolean {
    return this.#stage.names.previous !== this.#stage.names.blue;
  }

  obstruct(path: string): Promise<Undo> {
    return obstruct(path);
  }

  occupy(): Promise<Undo> {
    return occupy(this.#stage);
  }

  end(): void {
    for (const { child } of this.#poolers) child.kill('SIGKILL');
    this.#network?.end();
  }
}

const quoted = (name: string): string => (/^[\w.-]+$/.test(name) ? name : `'${name.replaceAll("'", "''")}'`);
