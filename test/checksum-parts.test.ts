import test from 'ava';
import { createReader, prepareReaderSession } from '../src/databases/postgres/reading/reader.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';

let servers: TestServer[];
test.before(async () => {
  servers = await Promise.all([14, 18].map((major) => testServer(major)));
});
test.after.always(() => Promise.all(servers.map((server) => server.stop())));

test.serial('a table that is read in parts has the checksum of the whole', async (t) => {
  for (const server of servers) {
    const name = await server.database('parts');
    const client = await server.connect(name);
    await client.query(
      `create schema "Part's"; create table "Part's"."a ""b""" (id int, name text);
       insert into "Part's"."a ""b""" select i, repeat('x', i % 300) from generate_series(1, 20000) i;
       delete from "Part's"."a ""b""" where id between 5000 and 9000;
       create table "Part's".child (extra int) inherits ("Part's"."a ""b"""); insert into "Part's".child select i, 'child', 1 from generate_series(1, 3000) i;
       create table "Part's".tree (id int, name text) partition by range (id);
       create table "Part's"."tree 1" partition of "Part's".tree for values from (0) to (100);
       create table "Part's".tree2 partition of "Part's".tree for values from (100) to (100000) partition by list (name);
       create table "Part's".tree21 partition of "Part's".tree2 default; create table "Part's".tree22 partition of "Part's".tree2 for values in ('none');
       insert into "Part's".tree select i, 'row ' || i from generate_series(0, 20000) i;
       create table "Part's".bare (id int) partition by range (id); create table "Part's".void (id int); analyze`,
    );
    const sessions = await Promise.all([1, 2, 3].map(() => server.connect(name)));
    for (const session of sessions) await prepareReaderSession(session);
    const known = createReader(sessions, undefined, 20_000);
    const { tables } = await known.catalog();
    for (const table of tables.filter(({ path }) => path[0] === "Part's")) {
      const columns = table.columns.map((column) => ({ ...column, as: column.type }));
      // One session by itself leaves the parallel work to the server.
      const alone = createReader(sessions.slice(0, 1), undefined, 20_000);
      const counted = await client.query<{ n: string }>(
        `select count(*) as n from ${table.partitioned ? '' : 'only '}"Part's"."${table.path[1].replaceAll('"', '""')}"`,
      );
      const single: bigint[] = [];
      const whole = await alone.checksum(table.path, columns, { progress: (rows) => single.push(rows) });
      t.is(single.length, 1);
      t.is(String(whole.rows), counted.rows[0]!.n, table.path[1]);
      const heard: bigint[] = [];
      t.deepEqual(
        await known.checksum(table.path, columns, { progress: (part) => heard.push(part) }),
        whole,
        table.path[1],
      );
      t.is(
        heard.reduce((sum, part) => sum + part, 0n),
        whole.rows,
      );
      if (whole.rows > 1000n) t.true(heard.length > 3, `${heard.length} parts`);
      // What was not told of is asked for.
      t.deepEqual(await createReader(sessions, undefined, 20_000).checksum(table.path, columns), whole);
    }
    t.is(tables.filter(({ path }) => path[0] === "Part's").length, 5);
  }
});
