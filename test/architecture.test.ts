import { globSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, normalize } from 'node:path';
import test from 'ava';
import { root } from './helpers/cli.ts';

/** From the first to the last: a room may import from the rooms before it, never from those after it. */
const ORDER = [
  ['util'],
  ['core'],
  ['databases', 'targets', 'migrators', 'checks', 'notices', 'steps'],
  ['playbook'],
  ['plan'],
  ['journal'],
  ['run'],
  ['rehearse', 'schedule'],
  ['report'],
  ['commands'],
  ['cli.ts', 'index.ts'],
];
const MAX_LINES = 250;

const files = globSync('src/**/*.ts', { cwd: root }).sort();
const sources = new Map(files.map((file) => [file, readFileSync(join(root, file), 'utf8')]));
const rank = (room: string): number => ORDER.findIndex((rooms) => rooms.includes(room));
const roomOf = (file: string): string => file.split('/')[1]!;

function importsOf(file: string): string[] {
  const source = sources.get(file)!;
  return [
    ...source.matchAll(/^(?:import|export)\s[^'`]*?from '([^']+)'|^import '([^']+)'|\bimport\('([^']+)'\)/gm),
  ].map((match) => (match[1] ?? match[2] ?? match[3])!);
}

const localImports = (file: string): string[] =>
  importsOf(file)
    .filter((specifier) => specifier.startsWith('.'))
    .map((specifier) => normalize(join(dirname(file), specifier)));

test('there are sources to look at, and every import leads to one of them', (t) => {
  t.true(files.length > 80);
  for (const file of files) {
    for (const target of localImports(file)) t.true(sources.has(target), `${file} imports ${target}`);
  }
});

test('every file is in a room that the design knows', (t) => {
  for (const file of files) t.not(rank(roomOf(file)), -1, file);
});

test('no import goes against the arrows', (t) => {
  const reversed: string[] = [];
  for (const file of files) {
    for (const target of localImports(file)) {
      const [from, to] = [roomOf(file), roomOf(target)];
      if (from !== to && rank(to) >= rank(from)) reversed.push(`${file} → ${target}`);
    }
  }
  t.deepEqual(reversed, []);
});

test('no file imports itself through others', (t) => {
  const finished = new Set<string>();
  const cycles: string[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) {
      cycles.push([...path.slice(path.indexOf(file)), file].join(' → '));
      return;
    }
    if (finished.has(file)) return;
    for (const target of localImports(file)) visit(target, [...path, file]);
    finished.add(file);
  };
  for (const file of files) visit(file, []);
  t.deepEqual(cycles, []);
});

test(`no file has more than ${MAX_LINES} lines`, (t) => {
  const long = files.filter((file) => sources.get(file)!.split('\n').length - 1 > MAX_LINES);
  t.deepEqual(long, []);
});

const onlyIn = (what: string, pattern: RegExp, allowed: readonly string[]): void => {
  test(`${what} only in ${allowed.join(', ')}`, (t) => {
    const found = files.filter((file) => pattern.test(sources.get(file)!));
    t.deepEqual(found, [...allowed].sort());
  });
};

onlyIn('processes are started', /from 'node:child_process'/, ['src/util/exec.ts']);
onlyIn('listr2 is used', /from 'listr2'/, ['src/run/screen/tasklist.ts']);
onlyIn('the drivers’ registries are imported', /(targets|migrators|checks|notices)\/registry\.ts'/, [
  'src/playbook/schema.ts',
  'src/run/open.ts',
]);
onlyIn('identifiers are quoted', /replaceAll\('"', '""'\)/, ['src/util/sql.ts']);

test('the drivers know nothing of each other, and steps know no driver', (t) => {
  const rooms = ORDER[2]!;
  for (const file of files.filter((each) => rooms.includes(roomOf(each)))) {
    for (const target of localImports(file)) {
      t.true([roomOf(file), 'core', 'util'].includes(roomOf(target)), `${file} → ${target}`);
    }
  }
});

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  dependencies: Record<string, string>;
  peerDependencies: Record<string, string>;
  peerDependenciesMeta: Record<string, { optional: boolean }>;
};

test('every imported package is declared as a dependency', (t) => {
  const declared = { ...manifest.dependencies, ...manifest.peerDependencies };
  const missing = files.flatMap((file) =>
    importsOf(file).filter(
      (specifier) =>
        !specifier.startsWith('.') &&
        !specifier.startsWith('node:') &&
        !builtinModules.includes(specifier) &&
        !Object.hasOwn(declared, /^(?:@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? ''),
    ),
  );
  t.deepEqual(missing, []);
});

test('a package that need not be there is loaded only where it is asked for', (t) => {
  for (const name of Object.keys(manifest.peerDependencies)) {
    t.true(manifest.peerDependenciesMeta[name]!.optional);
    const loading = new RegExp(
      `^(?:import|export)\\s(?!type\\s)[^'\`]*?from '${name}'|^import '${name}'`,
      'm',
    );
    t.deepEqual(
      files.filter((file) => loading.test(sources.get(file)!)),
      [],
    );
  }
});
