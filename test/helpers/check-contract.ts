import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import type { ExecutionContext, TestFn } from 'ava';
import type pg from 'pg';
import { checks } from '../../src/checks/registry.ts';
import type { Check, CheckContext, Finding } from '../../src/core/drivers/check.ts';
import type { Expectations } from '../../src/core/playbook.ts';
import { createReader, prepareReaderSession } from '../../src/databases/postgres/reading/reader.ts';
import type { TestServer } from './postgres.ts';

/** Blue and green, two identical databases until a test changes one. */
export interface Pair {
  readonly blue: pg.Client;
  readonly green: pg.Client;
  /** Reads both catalogues anew. */
  context(expect?: Partial<Expectations>, signal?: AbortSignal): Promise<CheckContext>;
  readonly progressed: [number, number][];
  end(): Promise<void>;
}

const fixtures = new URL('../../fixtures/', import.meta.url);

/** Loads a fixture into a database that can then be a template. */
export async function loadFixture(server: TestServer, fixture: string): Promise<string> {
  const name = await server.database(fixture);
  const folder = new URL(`${fixture}/`, fixtures);
  const { load } = parse(await readFile(new URL('fixture.yml', folder), 'utf8')) as { load: string[] };
  for (const file of load) await server.sql(await readFile(new URL(file, folder), 'utf8'), name);
  return name;
}

/** Two databases from one template. */
export async function makePair(server: TestServer, template: string): Promise<Pair> {
  const id = randomBytes(4).toString('hex');
  const names = { blue: `blue_${id}`, green: `green_${id}` };
  for (const name of Object.values(names)) {
    await server.sql(`create database "${name}" template "${template.replaceAll('"', '""')}"`);
  }
  return pairOf({ server, name: names.blue }, { server, name: names.green });
}

/** Does some work on a pair from a template, and closes it. */
export async function withPair<T>(
  server: TestServer,
  template: string,
  work: (pair: Pair) => Promise<T>,
): Promise<T> {
  const pair = await makePair(server, template);
  try {
    return await work(pair);
  } finally {
    await pair.end();
  }
}

interface Place {
  readonly server: TestServer;
  readonly name: string;
}

/** Two databases that are there. */
export async function pairOf(one: Place, other: Place): Promise<Pair> {
  const open = async ({ server, name }: Place) => {
    const client = await server.connect(name);
    const reading = await server.connect(name);
    await prepareReaderSession(reading);
    return { client, reading, reader: createReader([reading]) };
  };
  const blue = await open(one);
  const green = await open(other);
  const progressed: [number, number][] = [];
  return {
    blue: blue.client,
    green: green.client,
    progressed,
    async context(expect = {}, signal = new AbortController().signal) {
      return {
        blue: blue.reader,
        green: green.reader,
        catalogs: { blue: await blue.reader.catalog(), green: await green.reader.catalog() },
        expect: { renamed: {}, dropped: [], changed: [], ...expect },
        env: { PATH: process.env['PATH'] ?? '', GREEN_URL: other.server.url(other.name) },
        signal,
        progress: (done, total) => progressed.push([done, total]),
      };
    },
    async end() {
      for (const side of [blue, green]) await Promise.all([side.client.end(), side.reading.end()]);
    },
  };
}

/** Opens a check as a run would: options through their schema. */
export function openCheck(name: string, options: unknown = {}): Check {
  const driver = checks[name]!;
  return driver.open(driver.options.parse(options), {
    folder: process.cwd(),
    env: {},
    resolve: (text) => text,
  });
}

export const failures = (findings: readonly Finding[]): Finding[] =>
  findings.filter(({ severity }) => severity === 'failure');

/** Everything that a finding says. */
export const said = (findings: readonly Finding[]): string =>
  findings.map((one) => [one.severity, one.message, one.hint, one.detail].join(' | ')).join('\n');

interface Contract {
  readonly name: string;
  readonly options?: unknown;
  /** Changes green so that the check must find it, and what it must say. Works on every fixture. */
  readonly plant: { readonly sql: string; readonly says: RegExp };
}

/** What every check promises, on the real thing: majors, ordinary and odd names. */
export function checkContract(
  test: TestFn,
  servers: () => { server: TestServer; templates: string[] }[],
  { name, options, plant }: Contract,
): void {
  const everywhere = async (work: (pair: Pair) => Promise<void>): Promise<void> => {
    for (const { server, templates } of servers()) {
      for (const template of templates) {
        await withPair(server, template, work);
      }
    }
  };
  const wellFormed = (t: ExecutionContext, findings: readonly Finding[]): void => {
    t.true(findings.length > 0, 'an empty list is a mistake');
    t.true(findings.every((one) => one.check === name && one.message !== ''));
  };

  test.serial(`${name}: finds nothing on identical databases`, (t) =>
    everywhere(async (pair) => {
      const check = openCheck(name, options);
      t.true(check.describe().length > 0);
      const findings = await check.run(await pair.context());
      wellFormed(t, findings);
      t.deepEqual(failures(findings), []);
      t.true(findings.some(({ severity }) => severity === 'ok'));
    }),
  );

  test.serial(`${name}: finds a planted difference`, (t) =>
    everywhere(async (pair) => {
      await pair.green.query(plant.sql);
      const findings = await openCheck(name, options).run(await pair.context());
      wellFormed(t, findings);
      t.true(failures(findings).length > 0);
      t.false(findings.some(({ severity }) => severity === 'ok'));
      t.regex(said(findings), plant.says);
      t.true(pair.progressed.every(([done, total]) => done <= total));
    }),
  );

  test.serial(`${name}: stops when it is told to`, (t) =>
    everywhere(async (pair) => {
      const reason = new Error('told to');
      const context = await pair.context({}, AbortSignal.abort(reason));
      t.is(await t.throwsAsync(openCheck(name, options).run(context)), reason);
    }),
  );
}
