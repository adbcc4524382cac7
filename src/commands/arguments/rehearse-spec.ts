import { json, junit, playbook } from './flags.ts';
import type { CommandSpec } from './spec.ts';

export const rehearse: CommandSpec = {
  name: 'rehearse',
  summary: 'Perform a playbook on a stage of its own, with clients at work; reaches nothing real',
  arguments: playbook,
  options: [
    { flags: '--fixture <dir>', description: 'the fixture that stands in for blue' },
    {
      flags: '--scale <numbers>',
      description: 'how large the fixture is made; after a comma, others whose steps are measured as well',
    },
    { flags: '--rates <file>', description: 'write how long steps took, for estimates of plan and run' },
    { flags: '--seed <number>', description: 'where its random numbers begin' },
    {
      flags: '--pg <majors>',
      description: "the servers' major versions: 18, or blue's and green's: 15,18",
    },
    {
      flags: '--server <url>',
      description: 'a server for tests, instead of starting one; or docker: servers in containers',
    },
    {
      flags: '--image <names>',
      description: "the containers' image, or blue's and green's after a comma (default: postgres:MAJOR)",
    },
    { flags: '--clients <count>', description: 'clients at the same time (default: 8)' },
    { flags: '--rate <count>', description: 'transactions of all of them in a second (default: 200)' },
    {
      flags: '--faults [names]',
      description:
        'perform it with accidents, besides: kill, cut, crash, refuse, full, slow, tamper, migration; at one step: kill@clone',
    },
    json,
    junit,
    { flags: '--html <file>', description: 'write the report as one HTML file, too' },
    { flags: '--markdown <file>', description: 'write the report as Markdown, too' },
  ],
  load: () => import('../rehearse.ts'),
};
