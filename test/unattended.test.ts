import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { validate } from 'node-cron';
import { parseAllDocuments } from 'yaml';
import { commands } from '../src/commands/registry.ts';
import { root, workplace } from './helpers/cli.ts';
import { isInstalled } from './helpers/installed.ts';

const text = readFileSync(join(root, 'docs/unattended.md'), 'utf8');
const blocks = (language: string): string[] =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, 'gm'))].map((match) => match[1]!);

/** Options that stand before a command, and whether a value follows. */
const GLOBAL: Readonly<Record<string, boolean>> = {
  '--state': true,
  '--env-file': true,
  '--tools': true,
  '--no-color': false,
};

/** What is wrong with the words of a command line; undefined when nothing is. */
function mistake(words: readonly string[]): string | undefined {
  let at = 0;
  for (; words[at]?.startsWith('--'); at += GLOBAL[words[at]!] ? 2 : 1)
    if (!Object.hasOwn(GLOBAL, words[at]!)) return `there is no global option ${words[at]}`;
  const spec = commands.find(({ name }) => name === words[at]);
  if (!spec) return `there is no command ${words[at]}`;
  const known = new Map(
    (spec.options ?? []).flatMap(({ flags }) =>
      flags.match(/--?[\w-]+/g)!.map((flag): [string, boolean] => [flag, /[<[]/.test(flags)]),
    ),
  );
  const rest = words.slice(at + 1);
  let places = 0;
  for (let next = 0; next < rest.length; next += 1) {
    const word = rest[next]!;
    if (!word.startsWith('-')) places += 1;
    else if (!known.has(word)) return `${spec.name} has no option ${word}`;
    else if (known.get(word)) next += 1;
  }
  const needed = (spec.arguments ?? []).filter(({ name }) => name.startsWith('<')).length;
  return places < needed ? `${spec.name} needs more words` : undefined;
}

test('what looks at command lines finds what is wrong with them', (t) => {
  t.is(mistake(['--state', '/state', 'schedule', 'playbooks', '--once']), undefined);
  t.regex(mistake(['schedule', 'playbooks', '--twice'])!, /--twice/);
  t.regex(mistake(['--place', '/state', 'schedule', 'playbooks'])!, /--place/);
  t.regex(mistake(['shedule', 'playbooks'])!, /shedule/);
  t.regex(mistake(['schedule', '--once'])!, /needs more words/);
});

interface Unit {
  readonly name: string;
  readonly content: string;
  readonly settings: ReadonlyMap<string, string>;
}

const units: Unit[] = blocks('ini').map((content) => ({
  name: /^# \/etc\/systemd\/system\/(\S+)$/m.exec(content)![1]!,
  content,
  settings: new Map([...content.matchAll(/^(\w+)=(.*)$/gm)].map((match) => [match[1]!, match[2]!])),
}));

test('systemd: every unit is there, and its command is one of cutover', (t) => {
  t.deepEqual(
    units.map(({ name }) => name),
    ['cutover.service', 'cutover.timer', 'cutover-scheduler.service'],
  );
  for (const { name, settings } of units.filter((unit) => unit.name.endsWith('.service'))) {
    const [program, ...words] = settings.get('ExecStart')!.split(' ');
    t.regex(program!, /^\/.*\/cutover$/, name);
    t.is(mistake(words), undefined, name);
    t.is(settings.get('KillMode'), 'mixed', name);
    t.truthy(settings.get('TimeoutStopSec'), name);
  }
  t.is(units[0]!.settings.get('TimeoutStartSec'), 'infinity');
});

const noSystemd = isInstalled('systemd-analyze') ? undefined : 'systemd-analyze is not installed';
(noSystemd === undefined ? test : test.skip)(
  `systemd: its own check finds nothing to say${noSystemd === undefined ? '' : ` (SKIPPED: ${noSystemd})`}`,
  async (t) => {
    const { folder } = await workplace(t);
    // Only the program is one of this machine.
    const program = join(folder, 'cutover');
    await writeFile(program, '#!/bin/sh\n');
    await chmod(program, 0o755);
    const verify = async (change: (content: string) => string): Promise<string> => {
      const paths: string[] = [];
      for (const { name, content } of units) {
        const path = join(folder, name);
        await writeFile(path, change(content.replace(/^ExecStart=\S+/m, `ExecStart=${program}`)));
        paths.push(path);
      }
      const found = await promisify(execFile)('systemd-analyze', ['verify', '--man=no', ...paths]).catch(
        (error: { stderr: string; stdout: string }) => error,
      );
      // Other units of the machine are looked at as well.
      return `${found.stdout}${found.stderr}`
        .split('\n')
        .filter((line) => line.includes('cutover'))
        .join('\n');
    };
    t.is(await verify((content) => content), '');
    t.regex(
      await verify((content) => content.replace('Type=oneshot', 'Typ=oneshot')),
      /cutover\.service.*Typ/,
    );
    t.regex(await verify((content) => content.replace('*:0/5', 'often')), /cutover\.timer.*often/);
  },
);

const INSTRUCTIONS = new Set([
  'ADD',
  'ARG',
  'CMD',
  'COPY',
  'ENTRYPOINT',
  'ENV',
  'EXPOSE',
  'FROM',
  'HEALTHCHECK',
  'LABEL',
  'ONBUILD',
  'RUN',
  'SHELL',
  'STOPSIGNAL',
  'USER',
  'VOLUME',
  'WORKDIR',
]);

interface Instruction {
  readonly word: string;
  readonly rest: string;
}

function instructions(): Instruction[] {
  const [content] = blocks('dockerfile');
  return content!
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => ({ word: line.split(' ')[0]!, rest: line.slice(line.indexOf(' ') + 1) }));
}

test('container: instructions are known, what is copied is there, and what is started is a command', (t) => {
  const all = instructions();
  t.deepEqual(
    all.filter(({ word }) => !INSTRUCTIONS.has(word)),
    [],
  );
  const stages = all.filter(({ word }) => word === 'FROM').map(({ rest }) => / AS (\w+)$/.exec(rest)?.[1]);
  t.is(stages.length, 2);
  const copied: string[] = [];
  for (const { rest } of all.filter(({ word }) => word === 'COPY')) {
    const words = rest.split(' ');
    const from = words[0]!.startsWith('--') ? words.shift()! : undefined;
    if (from !== undefined) t.true(stages.includes(from.replace('--from=', '')), from);
    else copied.push(...words.slice(0, -1));
  }
  for (const source of copied) t.true(existsSync(join(root, source)), source);
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    files: string[];
    engines: { node: string };
    scripts: Record<string, string>;
  };
  // What is built there is built by this.
  for (const [, file] of Object.values(manifest.scripts)
    .filter((line) => line.startsWith('node scripts/bundle'))
    .map((line) => line.split(' ')))
    t.true(copied.includes(file!.split('/')[0]!), file);
  // dist is what is built there.
  for (const file of manifest.files.filter((each) => each !== 'dist')) t.true(copied.includes(file), file);
  const major = /node:(\d+)-/.exec(all[0]!.rest)![1]!;
  t.true(manifest.engines.node.includes(`^${major}.`));
  const listed = (word: string): string[] =>
    JSON.parse(all.findLast((each) => each.word === word)!.rest) as string[];
  const [program, ...words] = [...listed('ENTRYPOINT'), ...listed('CMD')];
  t.is(program, 'cutover');
  t.is(mistake(words), undefined);
  const volumes = all.filter(({ word }) => word === 'VOLUME').map(({ rest }) => rest);
  t.true(volumes.includes(words[words.indexOf('--state') + 1]!));
  for (const line of blocks('sh')[0]!
    .split('\n')
    .filter((each) => each.includes(' run ')))
    t.true(line.includes(`:${volumes[0]} `), 'the state is on no volume');
});

interface CronJob {
  readonly apiVersion: string;
  readonly kind: string;
  readonly spec: {
    readonly schedule: string;
    readonly concurrencyPolicy: string;
    readonly jobTemplate: {
      readonly spec: { readonly backoffLimit: number; readonly template: { readonly spec: Pod } };
    };
  };
}

interface Pod {
  readonly restartPolicy: string;
  readonly terminationGracePeriodSeconds: number;
  readonly containers: readonly {
    readonly command: readonly string[];
    readonly volumeMounts: readonly {
      readonly name: string;
      readonly mountPath: string;
      readonly readOnly?: boolean;
    }[];
  }[];
  readonly volumes: readonly {
    readonly name: string;
    readonly persistentVolumeClaim?: { readonly claimName: string };
  }[];
}

test('Kubernetes: one job at a time makes a command that is there, with its state on a volume that stays', (t) => {
  const documents = parseAllDocuments(blocks('yaml')[0]!);
  t.deepEqual(
    documents.flatMap(({ errors, warnings }) => [...errors, ...warnings]),
    [],
  );
  const [claim, job] = documents.map((each) => each.toJS() as unknown) as [
    { apiVersion: string; kind: string; metadata: { name: string } },
    CronJob,
  ];
  t.deepEqual([claim.apiVersion, claim.kind], ['v1', 'PersistentVolumeClaim']);
  t.deepEqual([job.apiVersion, job.kind], ['batch/v1', 'CronJob']);
  t.true(validate(job.spec.schedule));
  t.is(job.spec.schedule.split(' ').length, 5);
  t.is(job.spec.concurrencyPolicy, 'Forbid');
  t.is(job.spec.jobTemplate.spec.backoffLimit, 0);
  const pod = job.spec.jobTemplate.spec.template.spec;
  t.is(pod.restartPolicy, 'Never');
  t.true(pod.terminationGracePeriodSeconds > 30);
  const [container] = pod.containers;
  const [program, ...words] = container!.command;
  t.is(program, 'cutover');
  t.is(mistake(words), undefined);
  t.true(words.includes('--once'));
  const mountOf = (path: string) => container!.volumeMounts.find(({ mountPath }) => path === mountPath);
  const state = mountOf(words[words.indexOf('--state') + 1]!);
  t.truthy(state);
  t.not(state!.readOnly, true);
  const volume = pod.volumes.find(({ name }) => name === state!.name);
  t.is(volume?.persistentVolumeClaim?.claimName, claim.metadata.name);
  t.truthy(mountOf(words[words.indexOf('schedule') + 1]!));
});
