// What every target promises, whatever it points with.
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { StepError } from '../src/core/errors.ts';
import type { Target } from '../src/core/drivers/target.ts';
import { Postgres } from '../src/databases/postgres/postgres.ts';
import { databaseRename } from '../src/targets/database-rename.ts';
import { targets } from '../src/targets/registry.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { targetContract } from './helpers/target-contract.ts';
import { targetSuite } from './helpers/target-suite.ts';

const { test, context, openEnv, fileWith } = targetSuite();
let server: TestServer;
test.before(async () => {
  server = await testServer();
});
test.after.always(() => server?.stop());

test('every target of the registry has its docs page and is called by its own name', async (t) => {
  for (const [name, driver] of Object.entries(targets)) {
    t.is(driver.name, name);
    const page = await readFile(new URL(`../docs/targets/${name}.md`, import.meta.url), 'utf8');
    t.true(page.startsWith(`# \`${name}\``));
  }
});

// The contract, on everything there is.

const ENV_TEXT = `# The shop's settings\nexport OTHER="a b" # why\n\nDATABASE_URL=postgresql://app:p%40ss@db:5432/shop?sslmode=require # live\nLAST=1`;

targetContract(test, 'env-file', async () => {
  const path = await fileWith(ENV_TEXT);
  return {
    target: openEnv({ path }),
    state: async () =>
      `${await readFile(path, 'utf8')}\n${(await stat(path)).mode}\n${(await readdir(join(path, '..'))).join()}`,
    astray: () => writeFile(path, ENV_TEXT.replace('/shop?', '/elsewhere?')),
    again: async () => openEnv({ path }),
  };
});

targetContract(test, 'env-file with both values', async () => {
  const path = await fileWith(
    ENV_TEXT.replace('postgresql://app:p%40ss@db:5432/shop?sslmode=require', 'one'),
  );
  const options = { path, blue: 'one', green: 'it is "two"' };
  return {
    target: openEnv(options, { renames: true }),
    // A value that needs quotes brings them; the way back leaves them.
    state: async () => (await readFile(path, 'utf8')).replace("'one'", 'one'),
    astray: () => writeFile(path, ENV_TEXT),
    again: async () => openEnv(options, { renames: true }),
  };
});

targetContract(test, 'database-rename', async () => {
  const blue = await server.database();
  const green = await server.database('copy');
  const all = { blue, green, previous: `${blue}_previous` };
  const open: Postgres[] = [];
  const oids = await server.sql<{ oid: number; datname: string }>(
    `select oid::int8::float8 as oid, datname from pg_database where datname in ('${blue}', '${green}')`,
  );
  await server.sql(`alter database "${blue}" allow_connections false`);
  await server.sql(`alter database "${green}" allow_connections false`);
  const again = async (): Promise<Target> => {
    const database = new Postgres({ url: server.url(blue), run: '20261120-234205-3fa9' });
    open.push(database);
    for (const side of ['blue', 'green'] as const) {
      database.bind(side, oids.find(({ datname }) => datname === all[side])!.oid);
    }
    return databaseRename.open({}, context({ database, names: all, renames: true }));
  };
  return {
    target: await again(),
    again,
    state: async () =>
      JSON.stringify(
        await server.sql('select oid, datname, datallowconn, datacl from pg_database order by oid'),
      ),
    astray: async () => {
      await server.sql(`alter database "${blue}" rename to "${blue}_astray"`);
    },
    end: async () => {
      await Promise.all(open.map((database) => database.end()));
    },
  };
});

test('database-rename sees that the name for the previous copy is taken, and moves nothing', async (t) => {
  const blue = await server.database();
  const green = await server.database('copy');
  const database = new Postgres({ url: server.url(blue), run: 'r' });
  await database.bindByName('blue', blue);
  await database.bindByName('green', green);
  const previous = await server.database('taken');
  const target = databaseRename.open(
    {},
    context({ database, names: { blue, green, previous }, renames: true }),
  );
  const error = await t.throwsAsync(target.prepare('blue', 'green'), { instanceOf: StepError });
  t.true(error.message.includes(previous));
  await database.close(
    'blue',
    { wait: 0, then: 'end' },
    { signal: new AbortController().signal, progress: () => undefined },
  );
  await database.releaseReaders();
  await t.throwsAsync(target.switch('blue', 'green'), { instanceOf: StepError });
  t.is(await target.current(), 'blue');
  await database.end();
});
