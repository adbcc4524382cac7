import test from 'ava';
import * as fc from 'fast-check';
import { offsetOfPosition, placeOf } from '../src/migrators/sql/text/source.ts';
import { split } from '../src/util/sql-text/split.ts';

const texts = (sql: string): string[] => {
  const script = split(sql);
  if (script.trouble) throw new Error(script.trouble.message);
  return script.statements.map((statement) => statement.text);
};

/** The place and the words of what is never closed. */
const trouble = (sql: string): string | undefined => {
  const found = split(sql).trouble;
  if (!found) return undefined;
  const { line, column } = placeOf(sql, found.start);
  return `${line}:${column} ${found.message}`;
};

const whole: Record<string, string> = {
  'a standard string with a backslash': String.raw`select 'a\' , 'b''c;'`,
  'an escape string': String.raw`select E'a\';' || e'\\' || 'x'`,
  'an escape string that goes on in another line': "select E'a' -- note\n  '\\';b'",
  'two strings that are not one': String.raw`select E'a' 'b\'`,
  'unicode strings and names': String.raw`select U&'d\0061;' as u&"a;""\0061"`,
  'bit strings': "select B'01', x'1F', N';'",
  'a word that ends in e before a string': String.raw`select type'a\'`,
  'a quoted name': 'select 1 as "a;""b"',
  'dollar quotes': 'select $$a;b$$, $tag$ ; $$ ; $other$ $tag$',
  'dollar quotes with letters beyond ASCII': 'select $ä$;$ä$',
  'parameters that are no dollar quotes': 'select $1, $2',
  'a dollar inside of a name': 'select a$b$ from t',
  'nested comments': 'select /* a; /* b; */ c; */ 1',
  'a comment that begins in an operator': 'select 1 +/* ; */ 2',
  'a line comment': "select 1 -- it's ; here\n , 2",
  parentheses: 'create rule r as on insert to t do also (insert into a values (1); insert into b values (2))',
  'a routine in standard SQL': `create or replace function f(x int) returns int language sql
begin atomic
  select case when x > 1 then case x when 2 then 3 end else 4 end;
  select t.end as end, 1 as case from t;
  select (case when true then 1 end);
end`,
  'a procedure': 'create procedure p() begin atomic insert into t values (1); end',
  'a function named begin': 'create function begin() returns int return 1',
};

for (const [name, sql] of Object.entries(whole)) {
  test(`${name}: stays one statement`, (t) => {
    t.deepEqual(texts(sql), [sql]);
    t.deepEqual(texts(`${sql}\n;select 2;`), [sql, 'select 2']);
  });
}

test('BEGIN outside of a routine and CASE … END in a query end where the semicolon is', (t) => {
  t.deepEqual(texts('begin; select case when true then 1 end; end'), [
    'begin',
    'select case when true then 1 end',
    'end',
  ]);
});

test('comments around statements are not part of them, empty statements are none', (t) => {
  t.deepEqual(texts('\uFEFF-- head\n;; /* a */ select 1 /* b */ ; -- tail\n'), ['select 1']);
  t.deepEqual(texts(''), []);
});

test('what is never closed is told where it opens', (t) => {
  t.is(trouble("select 1;\n  select 'abc;\n"), '2:10 this string is never closed');
  t.is(trouble(String.raw`select E'abc\'`), '1:8 this string is never closed');
  t.is(trouble('select "abc'), '1:8 this quoted name is never closed');
  t.is(trouble('select 1; /* /* */'), '1:11 this comment is never closed');
  t.is(trouble('do $x$ begin $$ $x;$'), '1:4 this $x$ string is never closed');
  t.is(trouble('select (1, (2);\nselect 3;'), '1:8 this parenthesis is never closed');
  t.is(
    trouble('create function f() returns int\nbegin atomic select 1;'),
    '2:1 this BEGIN ATOMIC is never closed',
  );
  t.is(trouble("select 1;\n\\set x 'y"), '2:1 \\set is a command of psql, not SQL');
  t.is(trouble("select '\\set'"), undefined);
});

test('offsets, lines and columns count characters as the server does', (t) => {
  const sql = "select '😀';\n  select '😀ä', wrong";
  const [, second] = split(sql).statements;
  t.deepEqual(placeOf(sql, second!.start), { line: 2, column: 3 });
  // The server counts 😀 as one character: `wrong` begins at the fourteenth.
  const offset = second!.start + offsetOfPosition(second!.text, 14);
  t.is(sql.slice(offset), 'wrong');
  t.deepEqual(placeOf(sql, offset), { line: 2, column: 16 });
  t.is(offsetOfPosition('ab', 99), 2);
});

const content = fc
  .array(
    fc.constantFrom('a', ';', '😀', '\n', ' ', '--', '/', '*', '(', ')', '$', '"', "'", '\\', 'end', 'ü'),
  )
  .map((parts) => parts.join(''));

/** Pieces of statements, each closed in itself whatever it holds. */
const piece = fc.oneof(
  fc.constantFrom(
    'select',
    'begin atomic',
    'case',
    'end',
    '1.5',
    '$1',
    '+',
    '.',
    'a$b',
    'x',
    ',',
    '::text',
    'e',
    'U',
  ),
  // With a comma before it, or it would go on with the escape string of the line before.
  content.map((text) => `, '${text.replaceAll("'", "''")}'`),
  content.map((text) => `E'${text.replaceAll(/['\\]/g, '\\$&')}'`),
  content.map((text) => `U&'${text.replaceAll("'", "''")}'`),
  content.map((text) => `"${text.replaceAll('"', '""')}x"`),
  content.map((text) => `$$${text.replaceAll('$', '')}$$`),
  content.map((text) => `$tag$${text.replaceAll('$', '$ ')}$tag$`),
  content.map((text) => `/* ${text.replaceAll(/[*/]/g, '')} /* ; */ */`),
  content.map((text) => `-- ${text.replaceAll('\n', '')}\n`),
  fc.constantFrom('(a; b)', '(select (1); (2))', '(";")'),
);

const statement = fc
  .tuple(
    fc.constantFrom('select', 'insert', 'x', '"q"'),
    fc.array(piece, { maxLength: 8 }),
    fc.constantFrom('1', 'z', ')'),
  )
  .map(([head, pieces, tail]) => [head, ...pieces, tail].join(' '));

const between = fc.constantFrom(';', ' ;\n', ';;', '; -- ; note\n', '; /* ; /* ; */ */ ', '\n;\n\n');

test('statements that are joined and split come back, each at its place', (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(statement, between), { minLength: 1, maxLength: 6 }), (pairs) => {
      const sql = pairs.flat().join('');
      const script = split(sql);
      t.is(script.trouble, undefined);
      t.deepEqual(
        script.statements.map(({ text }) => text),
        pairs.map(([text]) => text),
      );
      for (const { text, start } of script.statements) t.is(sql.slice(start, start + text.length), text);
    }),
    { numRuns: 3000 },
  );
});

test('any text is split or explained, and nothing but comments and semicolons is left out', (t) => {
  const any = fc.array(fc.oneof(piece, content, fc.string({ unit: 'binary' })), { maxLength: 12 });
  fc.assert(
    fc.property(any, (parts) => {
      const sql = parts.join(' ');
      const script = split(sql);
      let at = 0;
      for (const { text, start } of script.statements) {
        t.true(start >= at && sql.startsWith(text, start));
        at = start + text.length;
      }
      t.true(!script.trouble || (script.trouble.start >= at && script.trouble.start < sql.length));
    }),
    { numRuns: 3000 },
  );
});

test('a big file is split in a moment', (t) => {
  const rows = Array.from(
    { length: 200_000 },
    (_, at) => `insert into t values (${at}, 'it''s ${at}', $$;$$);`,
  );
  const started = performance.now();
  t.is(split(rows.join('\n')).statements.length, rows.length);
  t.true(performance.now() - started < 20_000);
});
