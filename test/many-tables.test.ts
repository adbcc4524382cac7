import test from 'ava';
import { workplace } from './helpers/cli.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';

const TABLES = 5000;
let server: TestServer;

test.before(async () => {
  server = await testServer(18, { max_locks_per_transaction: '2000' });
});
test.after.always(() => server?.stop());

test('one row in the last of 5,000 tables is found and named, and one definition among all of theirs', async (t) => {
  const work = await workplace(t);
  const blue = await server.database('many');
  for (let start = 0; start < TABLES; start += 250) {
    const statements = Array.from({ length: 250 }, (_, index) => {
      const name = `t${String(start + index).padStart(5, '0')}`;
      return `create table ${name} (id int primary key, name text not null, made timestamptz default now());
        insert into ${name} values (1, 'one'), (2, 'two');`;
    });
    await server.sql(statements.join('\n'), blue);
  }
  const green = `${blue}_green`;
  await server.sql(`create database ${green} template ${blue}`);
  const env = { BLUE: server.url(blue), GREEN: server.url(green) };
  const both = ['${BLUE}', '${GREEN}'];
  const same = await work.cutover(['compare', ...both, '--quiet'], env);
  t.is(same.code, 0, same.out + same.err);
  t.regex(same.out, /10,000 rows in 5,000 tables \(15,000 columns\)/);
  await server.sql(
    `update t04999 set name = 'other' where id = 2; alter table t02500 alter name drop not null`,
    green,
  );
  const { code, out } = await work.cutover(['compare', ...both], env);
  t.is(code, 5, out);
  t.regex(out, /public\.t04999 differs in name: 2 rows on blue, 2 rows on green\n +id=2: name differs\n/);
  t.regex(out, /~ column public\.t02500\.name +text not null → text +CHANGED/);
  t.is(out.match(/✖/g)?.length, 2, out);
});
