import { fixture } from './shared/fixture-spec.ts';
import { rehearse } from './shared/rehearse-spec.ts';
import {
  gate,
  jobs,
  json,
  junit,
  metrics,
  optionalRun,
  playbook,
  quiet,
  rates,
  runOrPlaybook,
  tables,
  yes,
} from './shared/flags.ts';
import type { CommandSpec } from './shared/spec.ts';

/** Every command, in the order in which help lists them. */
export const commands: readonly CommandSpec[] = [
  {
    name: 'validate',
    summary: 'Read a playbook and list every mistake in it',
    arguments: playbook,
    load: () => import('./validate.ts'),
  },
  {
    name: 'plan',
    summary: 'Look at blue and print what a run will do; changes nothing',
    arguments: playbook,
    options: [json, rates],
    load: () => import('./plan.ts'),
  },
  {
    name: 'run',
    summary: 'Clone, migrate, verify, switch, and keep the previous copy',
    arguments: playbook,
    options: [
      yes,
      { flags: '--json', description: 'print the journal events as JSON lines on standard output' },
      rates,
      {
        flags: '--until <time>',
        description:
          'everything has to be over by then (ISO 8601); what would not be is put back before the switch',
      },
      {
        flags: '--window <opening>',
        description: 'given by cutover schedule, which settles the run should its process die',
      },
    ],
    load: () => import('./run.ts'),
  },
  {
    name: 'status',
    summary: 'Show a run: its steps, what is live, and what can be done next',
    arguments: optionalRun,
    options: [
      json,
      { flags: '-w, --watch', description: 'show what happens as it happens, until the run is settled' },
    ],
    load: () => import('./status.ts'),
  },
  {
    name: 'report',
    summary: 'Write what the journal knows of a run as a document: Markdown, HTML or JUnit',
    arguments: optionalRun,
    options: [
      { flags: '--html <file>', description: 'write one HTML file instead of Markdown on standard output' },
      { flags: '--junit <file>', description: 'write the findings as JUnit XML instead' },
    ],
    load: () => import('./report.ts'),
  },
  {
    name: 'runs',
    summary: 'List all runs, or remove those that are over since long',
    options: [
      json,
      { flags: '--limit <count>', description: 'only so many of the newest' },
      { flags: '--prune <age>', description: 'remove runs that are over for longer: 90d' },
      { flags: '-y, --yes', description: 'with --prune: remove them without a question' },
    ],
    load: () => import('./runs.ts'),
  },
  {
    name: 'swap-back',
    summary: 'Make the previous copy live again',
    arguments: optionalRun,
    options: [
      yes,
      { flags: '--accept-data-loss', description: 'go back although rows were written since the switch' },
    ],
    load: () => import('./swap-back.ts'),
  },
  {
    name: 'switch',
    summary: 'Make green live once more after a swap back of a run with sync',
    arguments: optionalRun,
    options: [
      yes,
      { flags: '--accept-data-loss', description: 'go on although the other side cannot hold every row' },
    ],
    load: () => import('./switch.ts'),
  },
  {
    name: 'guard',
    summary: 'Started by the tool itself: lets held clients go on when the process that held them dies',
    arguments: [{ name: '<run>', description: 'the run' }],
    load: () => import('./guard.ts'),
  },
  {
    name: 'retire',
    summary: 'Drop the previous copy of a run',
    arguments: optionalRun,
    options: [
      {
        flags: '--confirm <name>',
        description: "the previous copy's name, instead of typing it at the terminal",
      },
    ],
    load: () => import('./retire.ts'),
  },
  {
    name: 'resume',
    summary: 'Go on with a run whose process died',
    arguments: optionalRun,
    options: [
      yes,
      { flags: '--json', description: 'print the journal events as JSON lines on standard output' },
    ],
    load: () => import('./resume.ts'),
  },
  {
    name: 'abort',
    summary: 'Put everything back, after a run whose process died or in one that is at work',
    arguments: optionalRun,
    load: () => import('./abort.ts'),
  },
  {
    name: 'approve',
    summary: 'Answer the gate of a run with yes, or approve an unattended run of a playbook beforehand',
    arguments: runOrPlaybook,
    options: [
      gate,
      { flags: '--until <time>', description: 'of a playbook: when the approval ends (ISO 8601)' },
      { flags: '--for <time>', description: 'of a playbook: how long the approval holds (default: 7d)' },
      { flags: '-y, --yes', description: 'of a playbook: approve the plan without a question' },
    ],
    load: () => import('./approve.ts'),
  },
  {
    name: 'reject',
    summary: 'Answer the gate of a run with no, or take the approval of a playbook back',
    arguments: runOrPlaybook,
    options: [gate],
    load: () => import('./reject.ts'),
  },
  {
    name: 'verify',
    summary: "Run a playbook's checks by themselves, also while a run follows; changes nothing",
    arguments: playbook,
    options: [quiet, json, junit, jobs, tables],
    load: () => import('./verify.ts'),
  },
  {
    name: 'compare',
    summary: 'Compare any two databases: schema, every row, sequences; changes nothing',
    arguments: [
      { name: '<blue>', description: 'connection string of the one that is right' },
      { name: '[green]', description: 'connection string of the one that is held against it' },
    ],
    options: [
      {
        flags: '--against <backup>',
        description: 'instead of a second one: what pg_dump has written, restored on a server of its own',
      },
      quiet,
      json,
      junit,
      jobs,
      tables,
      {
        flags: '--checks <names>',
        description: 'the checks, separated by commas (default: schema,checksums,sequences)',
      },
      { flags: '--ignore-tables <names>', description: 'tables whose rows are not compared' },
      { flags: '--ignore-columns <names>', description: 'columns that are not compared' },
      {
        flags: '--sample <share>',
        description: 'read every key, but other columns only in so many rows: 5%',
      },
      { flags: '--show-values', description: 'show the values of rows that differ' },
    ],
    load: () => import('./compare.ts'),
  },
  {
    name: 'windows',
    summary: 'Print when the maintenance windows of a playbook open next',
    arguments: playbook,
    options: [{ flags: '--count <number>', description: 'how many of them (default: 10)' }, json],
    load: () => import('./windows.ts'),
  },
  {
    name: 'schedule',
    summary: 'Wait for maintenance windows and make the runs of playbooks in them, unattended',
    arguments: [{ name: '<playbooks...>', description: 'playbooks with a window, and folders of them' }],
    options: [
      { flags: '--once', description: 'make the runs whose windows are open now, and end' },
      { flags: '--jobs <count>', description: 'runs at the same time, of different databases (default: 1)' },
      ...metrics,
    ],
    load: () => import('./schedule.ts'),
  },
  {
    name: 'metrics',
    summary: 'Print what the journals know as metrics, in the OpenMetrics text format',
    arguments: [{ name: '[playbooks...]', description: 'for when their windows open next; folders, too' }],
    options: [{ flags: '--output <file>', description: 'replace this file in one step' }],
    load: () => import('./metrics.ts'),
  },
  rehearse,
  fixture,
  {
    name: 'migrate',
    summary: 'Work with a folder of SQL migrations on any database',
    arguments: [{ name: '<action>', description: 'status, up, or down' }],
    options: [
      { flags: '-d, --directory <folder>', description: 'the folder with the versioned files' },
      {
        flags: '--variable <name>',
        description: 'environment variable with the connection string (default: DATABASE_URL)',
      },
      { flags: '--table <name>', description: 'the version table (default: public.cutover_migrations)' },
      { flags: '--steps <count>', description: 'down: how many migrations to take back (default: 1)' },
      { flags: '--to <version>', description: 'down: take back everything after this version' },
      json,
    ],
    load: () => import('./migrate.ts'),
  },
];
