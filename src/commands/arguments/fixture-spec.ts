import type { CommandSpec } from './spec.ts';

/** A command of its own file, for the list of all of them has grown long. */
export const fixture: CommandSpec = {
  name: 'fixture',
  summary: 'Make a fixture for rehearsals from a real database: a sample of it, without personal data',
  arguments: [
    { name: '<action>', description: 'from' },
    { name: '<url>', description: 'connection string of the database, which is only read' },
  ],
  options: [
    { flags: '--out <dir>', description: 'the folder that is made' },
    { flags: '--sample <share>', description: 'how many of the rows of large tables (default: 1%)' },
    { flags: '--seed <number>', description: 'which rows the sample takes (default: 1)' },
    { flags: '--mask <columns>', description: 'columns that are masked, besides those that look personal' },
    { flags: '--keep <columns>', description: 'columns that are not masked' },
    {
      flags: '--server <url>',
      description: 'a server for tests on which it is proved, instead of starting one',
    },
    { flags: '--json', description: 'print data as JSON on standard output' },
  ],
  load: () => import('../fixture.ts'),
};
