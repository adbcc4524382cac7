import test from 'ava';
import { failures, openCheck, pairOf, said, type Pair } from './helpers/check-contract.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';

/** Two values of every built-in type; the second ones are near the first. */
const VALUES: Readonly<Record<string, readonly [string, string]>> = {
  aclitem: ['postgres=r/postgres', 'postgres=r*/postgres'],
  bit: ['1', '0'],
  bool: ['t', 'f'],
  box: ['(1,1),(0,0)', '(1,1),(0,-0.5)'],
  bpchar: ['a', 'a '],
  bytea: ['\\x00ff', '\\x00fe'],
  char: ['a', 'b'],
  cid: ['1', '4294967295'],
  cidr: ['10.0.0.0/8', '10.0.0.0/9'],
  circle: ['<(0,0),1>', '<(0,0),1.5>'],
  date: ['infinity', '5874897-12-31'],
  datemultirange: ['{[2026-01-01,2026-02-01)}', '{}'],
  daterange: ['[2026-01-01,)', '[2026-01-01,2026-01-02)'],
  float4: ['0', '-0'],
  float8: ['0.30000000000000004', '0.3'],
  inet: ['::1', '::1/127'],
  int2: ['-32768', '32767'],
  int2vector: ['1 2', '12'],
  int4: ['-2147483648', '2147483647'],
  int4multirange: ['{[1,5),[7,9)}', '{[1,9)}'],
  int4range: ['[1,5)', 'empty'],
  int8: ['1', '4294967297'],
  int8multirange: ['{[1,)}', '{(,1)}'],
  int8range: ['[1,)', '(,)'],
  interval: ['1 mon', '30 days'],
  json: ['{"a":1}', '{"a": 1}'],
  jsonb: ['{"a": 1.0}', '{"a": 1.00}'],
  jsonpath: ['$.a', 'strict $.a'],
  line: ['{1,2,3}', '{1,2,4}'],
  lseg: ['[(0,0),(1,1)]', '[(1,1),(0,0)]'],
  macaddr: ['08:00:2b:01:02:03', '08:00:2b:01:02:04'],
  macaddr8: ['08:00:2b:01:02:03:04:05', '08:00:2b:01:02:03:04:06'],
  money: ['$1,000.00', '$1,000.01'],
  name: ['a', 'A'],
  numeric: ['1.5', '1.50'],
  nummultirange: ['{[1.5,2)}', '{[1.50,2)}'],
  numrange: ['[1.5,2)', '[1.50,2)'],
  oid: ['1', '4294967295'],
  oidvector: ['1 2', '2 1'],
  path: ['((0,0),(1,1))', '[(0,0),(1,1)]'],
  pg_lsn: ['16/B374D848', '16/B374D849'],
  pg_snapshot: ['10:20:10,14', '10:20:10,15'],
  point: ['(0,1)', '(-0,1)'],
  polygon: ['((0,0),(1,1),(1,0))', '((1,1),(1,0),(0,0))'],
  refcursor: ['a', 'b'],
  regclass: ['pg_class', 'pg_type'],
  regcollation: ['"C"', '"POSIX"'],
  regconfig: ['english', 'simple'],
  regdictionary: ['simple', 'english_stem'],
  regnamespace: ['pg_catalog', 'information_schema'],
  regoper: ['pg_catalog.||/', 'pg_catalog.|/'],
  regoperator: ['+(integer,integer)', '-(integer,integer)'],
  regproc: ['now', 'version'],
  regprocedure: ['abs(integer)', 'abs(bigint)'],
  regrole: ['postgres', 'pg_monitor'],
  regtype: ['integer', 'bigint'],
  text: ['', ' '],
  tid: ['(0,1)', '(1,0)'],
  time: ['24:00:00', '00:00:00'],
  timestamp: ['infinity', '294276-12-31 23:59:59.999999'],
  timestamptz: ['2026-01-01 00:00:00.000001+00', '2026-01-01 00:00:00.000001+01'],
  timetz: ['12:00:00+02', '10:00:00+00'],
  tsmultirange: ['{[2026-01-01,2026-02-01)}', '{(2026-01-01,2026-02-01)}'],
  tsquery: ["'a' & 'b'", "'a' <-> 'b'"],
  tsrange: ['[2026-01-01,2026-02-01)', '[2026-01-01,2026-02-01]'],
  tstzmultirange: ['{[2026-01-01,2026-02-01)}', '{[2026-01-01,2026-02-02)}'],
  tstzrange: ['[2026-01-01 00:00+02,)', '[2026-01-01 00:00+00,)'],
  tsvector: ["'a':1", "'a':1A"],
  txid_snapshot: ['10:20:10,14', '10:20:10,15'],
  uuid: ['00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000001'],
  varbit: ['01', '1'],
  varchar: ['a', 'a '],
  xid: ['1', '4294967295'],
  xid8: ['1', '4294967297'],
  xml: ['<a b="1"/>', "<a b='1'/>"],
};

/** Types that take no value from outside: statistics and their like, which no table of a user holds. */
const CLOSED = /^(?:pg_brin_.*|pg_dependencies|pg_mcv_list|pg_ndistinct|pg_node_tree|gtsvector)$/;

const MAJORS = [15, 18] as const;
const servers: TestServer[] = [];
let pair: Pair;

// Settings of which no comparison may take notice.
const ODD: Readonly<Record<number, string>> = {
  15: `set timezone to 'Asia/Kolkata'; set datestyle to 'SQL, DMY'; set intervalstyle to 'iso_8601'; set bytea_output to 'escape'`,
  18: `set timezone to 'America/New_York'; set datestyle to 'German'; set intervalstyle to 'sql_standard'; set extra_float_digits to 0`,
};

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;
/** Timestamps say the same wherever they are written. */
const SAFE = `set timezone to 'UTC'; set datestyle to 'ISO, YMD';`;

test.before(async () => {
  const places = [];
  for (const major of MAJORS) {
    const server = await testServer(major);
    servers.push(server);
    const name = await server.database('types');
    for (const setting of ODD[major]!.split(';'))
      await server.sql(`alter database "${name}" ${setting.trim()}`);
    places.push({ server, name });
  }
  pair = await pairOf(places[0]!, places[1]!);
});
test.after.always(async () => {
  await pair?.end();
  await Promise.all(servers.map((server) => server.stop()));
});

const find = async () => openCheck('checksums').run(await pair.context());

test.serial('every built-in type is told apart between 15 and 18, and is the same where it is', async (t) => {
  const { rows } = await pair.blue.query<{ name: string }>(
    `select typname as name from pg_type where typnamespace = 'pg_catalog'::regnamespace and typtype in ('b', 'r', 'm')
       and typelem = 0 and typrelid = 0
     union select typname from pg_type where typname in ('name', 'point', 'lseg', 'box', 'line', 'int2vector', 'oidvector')`,
  );
  const types = rows.map(({ name }) => name).filter((name) => !CLOSED.test(name));
  t.deepEqual(types.toSorted(), Object.keys(VALUES).toSorted());
  for (const side of [pair.blue, pair.green]) {
    for (const [type, [first, second]] of Object.entries(VALUES)) {
      const cast = `pg_catalog.${JSON.stringify(type)}`;
      await side.query(
        `${SAFE} create table "of ${type}" (id int primary key, one ${cast}, many ${cast}[]);
         insert into "of ${type}" values (1, ${literal(first)}, array[${literal(first)}, null]::${cast}[]),
           (2, ${literal(second)}, array[[${literal(second)}]]::${cast}[]), (3, null, '{}');`,
      );
    }
    await side.query('reset all');
  }
  const same = await find();
  t.deepEqual(failures(same), []);
  t.regex(said(same), new RegExp(`${3 * types.length} rows in ${types.length} tables`));
  // The one value becomes the other, by itself and in an array.
  for (const type of types) {
    await pair.green.query(
      `update "of ${type}" set one = (select one from "of ${type}" where id = 2) where id = 1;
       update "of ${type}" set many = (select many from "of ${type}" where id = 1) where id = 2`,
    );
  }
  const found = failures(await find());
  const seen = (type: string): boolean => {
    const one = found.find(({ message }) => message.startsWith(`public."of ${type}" differs`));
    return /^ {2}id=1: one differs/m.test(one?.detail ?? '') && /^ {2}id=2: many differs/m.test(one!.detail!);
  };
  t.deepEqual(
    types.filter((type) => !seen(type)),
    [],
  );
});
