import { EXIT, type ExitCode } from '../core/errors.ts';
import { fold } from '../journal/fold.ts';
import { runPage } from '../report/html/run.ts';
import { runMarkdown } from '../report/markdown.ts';
import { findingsOf } from '../report/record.ts';
import type { CommandIo, Options } from './shared/io.ts';
import { runToShow, chooseRun, withStore } from './shared/surroundings.ts';
import { writeJunit, writeReport } from './shared/verdict.ts';

type ReportOptions = Options<{ html?: string; junit?: string }>;

/** What the journal knows of a run, as a document. It asks no server. */
export async function run(
  [named]: readonly (string | undefined)[],
  options: ReportOptions,
  io: CommandIo,
): Promise<ExitCode> {
  return withStore(options, async (store) => {
    const { run: id } = named === undefined ? await runToShow(store) : await chooseRun(store, named);
    const events = await store.read(id);
    const state = fold(events);
    const ms = Date.parse(events.at(-1)!.at) - Date.parse(state.startedAt);
    if (options.html !== undefined) await writeReport('HTML', options.html, runPage(state, events));
    if (options.junit !== undefined) await writeJunit(options.junit, findingsOf(state), ms);
    if (options.html === undefined && options.junit === undefined) io.out(runMarkdown(state, events));
    return EXIT.done;
  });
}
