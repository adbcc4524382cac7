#!/usr/bin/env node
import { nodeProblem } from './util/node-version.ts';

// Should the event loop run dry before `main` settles, that is an error inside the tool, and not a success.
process.exitCode = 1;
const problem = nodeProblem(process.versions.node);
if (problem === undefined) {
  // Only now: an older Node would stumble over what this imports, with a message that helps nobody.
  void import('./commands/main.ts')
    .then(({ main }) => main(process.argv.slice(2)))
    .then((code) => {
      process.exitCode = code;
    });
} else {
  process.stderr.write(`${problem}\n`);
  process.exitCode = 2;
}
