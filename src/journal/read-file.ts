import { readFile } from 'node:fs/promises';
import { UsageError } from '../core/errors.ts';
import type { Event } from '../core/event.ts';
import { JournalError } from './journal.ts';

/** Events of a journal's file, and the bytes they take. Throws UsageError when there is none, JournalError when it is damaged. */
export async function readJournal(path: string, run: string): Promise<{ events: Event[]; bytes: number }> {
  const content = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'ENOENT') throw cause;
    throw new UsageError(`there is no run ${run}`, {
      where: path,
      hint: 'see the runs there are: cutover runs',
    });
  });
  const events: Event[] = [];
  let bytes = 0;
  // Only a line with its end is an event: what follows the last line end was torn off by a crash.
  for (let end = content.indexOf(10); end !== -1; end = content.indexOf(10, bytes)) {
    const event = parseLine(content.toString('utf8', bytes, end));
    if (event?.seq !== events.length + 1) {
      throw new JournalError(`the journal is damaged at line ${events.length + 1}`, {
        where: path,
        hint: 'restore the file from a backup; nothing was changed',
      });
    }
    events.push(event);
    bytes = end + 1;
  }
  return { events, bytes };
}

function parseLine(line: string): Event | undefined {
  try {
    return JSON.parse(line) as Event;
  } catch {
    return undefined;
  }
}
