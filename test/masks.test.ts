import test from 'ava';
import type { Client } from 'pg';
import { prepareReaderSession } from '../src/databases/postgres/reading/reader.ts';
import { familyOf, KEY_SETTING, masked, mostOf } from '../src/rehearse/sample/mask/shapes.ts';
import { looksPersonal, wordsOf, type MaskKind } from '../src/rehearse/sample/mask/words.ts';
import { readModel } from '../src/rehearse/sample/model.ts';
import { addressOf } from '../src/databases/postgres/address.ts';
import { Connection } from '../src/databases/postgres/connection.ts';
import { majors, testServer } from './helpers/postgres.ts';

test('names that look like personal data, at the boundaries of words', (t) => {
  t.deepEqual(wordsOf('customerEMail_2'), ['customer', 'e', 'mail']);
  t.deepEqual(wordsOf('IPAddress'), ['ip', 'address']);
  const personal: [table: string, column: string, kind: MaskKind][] = [
    ['users', 'email', 'email'],
    ['x', 'contactEMail', 'email'],
    ['x', 'E-Mail (private)', 'email'],
    ['x', 'mobile_no', 'phone'],
    ['x', 'faxNumber', 'phone'],
    ['x', 'first_name', 'plain'],
    ['x', 'LastName', 'plain'],
    ['customers', 'name', 'plain'],
    ['team_members', 'name', 'plain'],
    ['people', 'Name', 'plain'],
    ['x', 'address_line_1', 'plain'],
    ['x', 'last_ip', 'plain'],
    ['x', 'userAgent', 'plain'],
    ['x', 'tax_id', 'plain'],
    ['x', 'IBAN', 'plain'],
    ['x', 'password_hash', 'plain'],
    ['x', 'api_key', 'plain'],
    ['x', 'birth_date', 'plain'],
    ['x', 'comment', 'plain'],
  ];
  for (const [table, column, kind] of personal)
    t.is(looksPersonal(table, column), kind, `${table}.${column}`);
  const plain = [
    ['products', 'name'],
    ['x', 'filename'],
    ['x', 'description'],
    ['x', 'email_id'],
    ['x', 'email_verified'],
    ['x', 'message_count'],
    ['x', 'phone_type'],
    ['x', 'password_changed_at'],
    ['x', 'shipping'],
    ['x', 'zipped'],
    ['x', 'equity'],
    ['x', 'tax_rate'],
    ['x', 'total'],
    ['x', 'order'],
  ];
  for (const [table, column] of plain) t.is(looksPersonal(table!, column!), undefined, `${table}.${column}`);
});

const VALUES = `
create table t (
  id int primary key, tx text, vc varchar(10), ch char(6), nm name, i2 smallint, i4 int, i8 bigint, nu numeric, n2 numeric(8, 3),
  f4 real, f8 double precision, da date, ts timestamp, tz timestamptz, ip inet, ci cidr, uu uuid, js json, jb jsonb, by bytea, em text, ph text);
insert into t values
  (1, 'short', 'short', 'ab', 'name', 32000, 2147483000, 9223372036854775807, 123.45, -12345.678, 15000.5, 1e300, '2000-02-29', '2000-02-29 12:00', '2000-02-29 12:00+00', '192.168.0.1/24', '10.1.0.0/16', '00000000-0000-0000-0000-000000000001', '{"a": 1}', '[1]', '\\x01', 'a@b.c', '+49 171'),
  (2, repeat('long ', 30), 'exactly 10', 'abcdef', repeat('n', 63), -32768, -2147483648, -9223372036854775808, 0.001, 0, 0, -0.5, 'infinity', '-infinity', 'infinity', '::1', '::/0', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 'null', 'null', '', 'b@b.c', repeat('1', 40)),
  (3, '', '', '', '', 0, 7, -7, 'NaN', 99999.999, 'NaN', 'Infinity', '-infinity', 'infinity', '-infinity', '0.0.0.0', '0.0.0.0/0', '00000000-0000-0000-0000-000000000002', '1', '1', '\\x0102', '', '');
insert into t values (4);`;

for (const major of majors()) {
  test(`masks of every type, on PostgreSQL ${major}`, async (t) => {
    const server = await testServer(major);
    t.teardown(() => server.stop());
    const name = await server.database();
    await server.sql(VALUES, name);
    const connection = await Connection.open(addressOf(server.url(name), 'masks'), name);
    t.teardown(() => connection.end());
    await prepareReaderSession(connection.client);
    const { tables } = await readModel(connection);
    const columns = [...tables.values()][0]!.columns.filter((column) => column.name !== 'id');
    const list = columns.map((column) => {
      const kind = column.name === 'em' ? 'email' : column.name === 'ph' ? 'phone' : 'plain';
      const mask = { kind, family: familyOf(column), most: mostOf(column), folds: false } as const;
      // As a row of the very type: what does not fit would be an error.
      return `(${masked(`t.${column.name}`, column, mask)})::${column.type} as ${column.name}`;
    });
    const read = (key: string) =>
      rowsOf(connection.client, key, `select ${list.join(', ')} from public.t order by id`);
    const [given, once, again, other] = [
      await rowsOf(connection.client, 'x', 'select * from public.t order by id'),
      await read('a key'),
      await read('a key'),
      await read('another key'),
    ];
    t.deepEqual(once, again);
    const SAID = new Set(['js', 'jb']);
    for (const { name: column } of columns) {
      const values = given.map((row) => row[column] ?? null);
      const masks = once.map((row) => row[column] ?? null);
      t.is(masks[3], null, column);
      if (SAID.has(column)) {
        t.deepEqual(masks.slice(0, 3), ['{}', '{}', '{}']);
        continue;
      }
      t.not(masks[0], values[0], column);
      t.not(masks[0], other[0]![column], `${column} under another key`);
      if (!['f4', 'f8', 'nu', 'n2', 'i2'].includes(column)) t.not(masks[0], masks[1], column);
    }
    const [first, second, third] = once as [Row, Row, Row];
    t.regex(first['tx']!, /^[0-9a-f]{32}$/);
    t.is(second['tx']!.length, 150);
    t.is(first['vc']!.length, 10);
    t.is(second['nm']!.length, 63);
    t.is(third['tx'], '');
    t.regex(first['em']!, /^u[0-9a-f]{24}@example\.com$/);
    t.regex(first['ph']!, /^\d{15}$/);
    t.regex(second['ph']!, /^\d{40}$/);
    t.regex(first['i4']!, /^\d{10}$/);
    t.regex(second['i4']!, /^-\d{10}$/);
    t.regex(first['i8']!, /^\d{19}$/);
    t.regex(first['nu']!, /^\d{3}\.\d\d$/);
    t.regex(first['n2']!, /^-\d{5}\.\d{3}$/);
    t.is(third['nu'], 'NaN');
    t.is(third['f8'], 'Infinity');
    t.is(second['da'], 'infinity');
    t.regex(first['ip']!, /^10\.\d+\.\d+\.\d+$/);
    for (const column of ['da', 'ts', 'tz']) {
      const days = Math.abs(Date.parse(first[column]!) - Date.parse('2000-02-29')) / 86_400_000;
      t.true(days >= 0.4 && days <= 181, `${column}: ${first[column]}`);
    }
  });
}

type Row = Readonly<Record<string, string | null>>;

async function rowsOf(client: Client, key: string, sql: string): Promise<Row[]> {
  await client.query('select set_config($1, $2, false)', [KEY_SETTING, key]);
  const types = { getTypeParser: () => (value: unknown) => value } as never;
  return (await client.query<Row>({ text: sql, types })).rows;
}
