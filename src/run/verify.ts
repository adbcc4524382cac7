import { RefusedError } from '../core/errors.ts';
import type { Playbook } from '../core/playbook.ts';
import { other } from '../core/side.ts';
import type { RunState } from '../journal/fold.ts';
import { namesOf } from '../plan/build.ts';
import { booksNote, runChecks, unfollowedNote, type Checking } from '../steps/shared/checking.ts';
import { formatDuration } from '../util/units.ts';
import { compare, refuseUnpaced, type Compared } from './compare.ts';
import { openDrivers, openServer, openStored, type Surroundings } from './open.ts';
import { refusing } from './refusing.ts';
import { greenOid } from './reopen.ts';

export interface Verifying {
  readonly around: Surroundings;
  /** Readings of each side at the same time. */
  readonly jobs: number;
  /** No rows are read while more sessions of others are active. */
  readonly maxActive: number | undefined;
  readonly tables: readonly string[] | undefined;
  readonly signal: AbortSignal;
  readonly progress: Checking['progress'];
}

/** Whether one side of a run follows the other, so that only one and the same moment of both says anything. */
export const follows = (state: RunState): boolean =>
  state.plan.live !== undefined &&
  greenOid(state) !== undefined &&
  ['running', 'held', 'completed', 'swapped back'].includes(state.phase);

/** The checks of a run whose sides follow each other, while clients write; writers wait for some milliseconds. */
export const verifyRun = (state: RunState, verifying: Verifying): Promise<Compared> =>
  refusing(async () => {
    const { around, signal, progress, maxActive } = verifying;
    const { plan } = state;
    const drivers = await openStored(plan, greenOid(state), around);
    try {
      const { database, checks, migrators, env } = drivers;
      refuseUnpaced({ maxActive, checks });
      const way = { from: state.live, to: other(state.live) };
      const point = await database.live.samePoint(way, plan.live!.follow, {
        signal,
        progress: (done, total, _unit, note) => progress('verify', done, total, note),
      });
      try {
        const greenUrl = await database.url('green');
        const findings = await runChecks(
          { plan, checks, migrators, env, greenUrl, signal, progress, maxActive },
          point,
        );
        const held = `compared as of one moment, for which writers to ${way.from} waited ${formatDuration(point.heldMs)}`;
        return {
          findings: [
            ...findings,
            ...unfollowedNote(plan, await point.blue.catalog()),
            ...booksNote(migrators),
            { check: 'verify', severity: 'note', message: held },
          ],
          places: {
            blue: (await database.state('blue'))?.name ?? plan.names.blue,
            green: (await database.state('green'))?.name ?? plan.names.green,
          },
        };
      } finally {
        await point.end();
      }
    } finally {
      await drivers.end();
    }
  });

/** The checks of a playbook on two databases that nobody writes to, whoever made green. */
export const verifyPlaybook = (playbook: Playbook, verifying: Verifying): Promise<Compared> =>
  refusing(async () => {
    const { around, signal, progress, jobs, tables, maxActive } = verifying;
    const server = await openServer(playbook.blue, 'verify', around, playbook.limits, playbook.greenUrl);
    try {
      const { database } = server;
      const names = namesOf(playbook, server.blue);
      await database.bindByName('blue', names.blue);
      if (!(await database.has(names.green)))
        throw new RefusedError(`green's database ${names.green} is not there`, {
          hint: 'it is made by: cutover run',
        });
      await database.bindByName('green', names.green);
      const drivers = openDrivers(
        server,
        {
          run: 'verify',
          migrate: playbook.migrate,
          verify: playbook.verify,
          targets: [],
          folder: playbook.folder,
          names,
          renames: false,
        },
        around,
      );
      const compared = await compare({
        urls: { blue: await database.url('blue'), green: await database.url('green') },
        checks: drivers.checks,
        without: drivers.migrators.flatMap(({ bookkeeping }) => bookkeeping ?? []),
        expect: playbook.expect,
        env: drivers.env,
        jobs,
        maxActive,
        tables,
        limits: playbook.limits,
        signal,
        progress,
      });
      return { ...compared, findings: [...compared.findings, ...booksNote(drivers.migrators)] };
    } finally {
      await server.end();
    }
  });
