#!/usr/bin/env node
import { main } from './commands/main.ts';

// Should the event loop run dry before `main` settles, that is an error inside the tool, and not a success.
process.exitCode = 1;
void main(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
