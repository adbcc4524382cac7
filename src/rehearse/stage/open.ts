import { other, type Side } from '../../core/side.ts';
import { embeddedMajor } from '../../databases/postgres/embedded/binaries.ts';
import { startContainers } from './containers.ts';
import { givenServer, startServer, type StageServer } from './servers.ts';

/** Where a stage has its servers from. */
export type ServerChoice =
  | { readonly kind: 'embedded' }
  /** One that is there for tests; its connection string is secret. */
  | { readonly kind: 'given'; readonly url: string }
  /** In containers, of images that are named, or else of the majors. */
  | { readonly kind: 'docker'; readonly images: Readonly<Record<Side, string | undefined>> };

export interface ServersOptions {
  /** Of the stage's own. */
  readonly folder: string;
  /** Green has a server of its own. */
  readonly across: boolean;
  readonly server: ServerChoice;
  /** Majors of the servers that are started: blue's and green's. Undefined is the one that is installed. */
  readonly majors: Readonly<Record<Side, number | undefined>>;
  readonly signal: AbortSignal;
}

/** Where the tool brings no server of its own. */
const USUAL_MAJOR = 18;

/** The servers of both sides: two when green has one of its own, and otherwise twice the same. */
export async function openServers(options: ServersOptions): Promise<Record<Side, StageServer>> {
  const { server, folder, majors, across, signal } = options;
  const majorOf = (side: Side): number | undefined => majors[side] ?? majors[other(side)];
  if (server.kind === 'given') return twice(await givenServer(server.url));
  if (server.kind === 'docker') {
    const image = (side: Side): string =>
      server.images[side] ?? `postgres:${majorOf(side) ?? embeddedMajor() ?? USUAL_MAJOR}`;
    const { blue, green } = await startContainers({
      folder,
      sides: across ? ['blue', 'green'] : ['blue'],
      image,
      signal,
    });
    return { blue: blue!, green: green ?? blue! };
  }
  const blue = await startServer(folder, 'blue', majorOf('blue'));
  if (!across) return twice(blue);
  try {
    return { blue, green: await startServer(folder, 'green', majorOf('green')) };
  } catch (error) {
    await blue.end();
    throw error;
  }
}

const twice = (server: StageServer): Record<Side, StageServer> => ({ blue: server, green: server });
