import { nameOf, play, record, type Cell, type Recorded } from './cells.ts';
import { stage, type Kind, type Stage } from './scene.ts';

export interface Report {
  readonly cells: number;
  readonly failed: readonly { readonly name: string; readonly problems: readonly string[] }[];
  /** How many runs ended how. */
  readonly ends: Readonly<Record<string, number>>;
}

/** Plays the cells that are chosen from the recorded points, on several servers at once. */
export async function playMatrix(
  choose: (recorded: Recorded) => readonly Cell[],
  { jobs, journal = 'folder', live = false }: { jobs: number } & Partial<Kind>,
  onCell: (done: number, total: number, name: string, problems: readonly string[]) => void,
): Promise<Report> {
  const stages: Stage[] = [];
  try {
    for (let job = 0; job < jobs; job += 1) stages.push(await stage({ journal, live }));
    const recorded = await record(stages[0]!);
    const cells = choose(recorded);
    const failed: { name: string; problems: readonly string[] }[] = [];
    const ends: Record<string, number> = {};
    let next = 0;
    let done = 0;
    await Promise.all(
      stages.map(async (at) => {
        while (next < cells.length) {
          const cell = cells[next++]!;
          const { problems, end } = await play(at, cell, recorded);
          done += 1;
          const how = `${cell.subject}, ${cell.fault}, ${cell.recovery}: ${end || 'broken'}`;
          ends[how] = (ends[how] ?? 0) + 1;
          if (problems.length > 0) failed.push({ name: nameOf(cell), problems });
          onCell(done, cells.length, nameOf(cell), problems);
        }
      }),
    );
    return { cells: cells.length, failed, ends };
  } finally {
    await Promise.all(stages.map((at) => at.stop()));
  }
}
