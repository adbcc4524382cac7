// Arguments and options that more than one command has, or that belong together.

export const playbook = [{ name: '<playbook>', description: 'the playbook, a YAML file' }];
export const optionalRun = [
  { name: '[run]', description: 'the run, or the beginning of its id; the latest one unless given' },
];
export const runOrPlaybook = [
  { name: '[run]', description: 'the run, or the beginning of its id; or a playbook, a file *.yml' },
];
export const yes = { flags: '-y, --yes', description: 'answer every question with yes' };
export const gate = {
  flags: '--gate <name>',
  description: 'the gate that is meant; the one that is open unless given',
};
export const json = { flags: '--json', description: 'print data as JSON on standard output' };

export const rates = { flags: '--rates <file>', description: 'estimate by what a rehearsal has measured' };
export const quiet = { flags: '-q, --quiet', description: 'print one line' };
export const junit = { flags: '--junit <file>', description: 'write the findings as JUnit XML, too' };
export const jobs = {
  flags: '--jobs <count>',
  description: 'readings of each side at the same time (default: 2)',
};
export const maxActive = {
  flags: '--max-active <count>',
  description: 'read no rows while more sessions of others than that are active on the server',
};
export const against = {
  flags: '--against <backup>',
  description: 'instead of a second one: what pg_dump has written, restored on a server of its own',
};
export const tables = {
  flags: '--tables <names>',
  description: 'only the rows of these tables, separated by commas',
};

export const metrics = [
  { flags: '--metrics-file <file>', description: 'keep this file of metrics up to date' },
  { flags: '--metrics-port <port>', description: 'answer GET /metrics at this port' },
  { flags: '--metrics-lag', description: 'ask the servers how far who follows is behind, for the metrics' },
  { flags: '--metrics-host <host>', description: 'the address of that port (default: 127.0.0.1)' },
];

export const until = {
  flags: '--until <time>',
  description:
    'everything has to be over by then (ISO 8601); what would not be is put back before the switch',
};

export const tooShort = {
  flags: '--too-short <what>',
  description:
    'of a run that follows, when that time is over: unwind (the default), or hold, which keeps the copy',
};

export const window = {
  flags: '--window <opening>',
  description: 'given by cutover schedule, which settles the run should its process die',
};

export const metricsOutput = [
  { flags: '--output <file>', description: 'replace this file in one step' },
  { flags: '--lag', description: 'ask the servers how far who follows is behind' },
];
