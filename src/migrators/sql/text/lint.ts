import type { SqlFile } from '../files.ts';
import type { Mistake } from '../mistakes.ts';
import type { LineComment, Statement } from '../../../util/sql-text/split.ts';

const DIRECTIVE = /^--\s*cutover\s*:\s*(.*?)\s*$/i;
const NO_TRANSACTION = 'no-transaction';

interface Found {
  readonly start: number;
  readonly message: string;
  readonly hint: string;
}

/** Whether the file runs in one transaction; `-- cutover: no-transaction` at its head says that it does not. */
export const isTransactional = (file: SqlFile): boolean =>
  !file.script.comments.some((comment) => comment.leading && directiveOf(comment) === NO_TRANSACTION);

/** Everything in a file that is known to fail, or to break the promise of one transaction, without running it. */
export function lint(file: SqlFile): Mistake[] {
  const transactional = isTransactional(file);
  const found: Found[] = file.script.comments.flatMap(wrongDirective);
  let openBegin: Statement | undefined;
  for (const statement of file.script.statements) {
    const wrong = neverRuns(statement) ?? (transactional ? breaksTransaction(statement) : undefined);
    if (wrong) found.push({ start: statement.start, ...wrong });
    if (transactional) continue;
    const effect = transactionEffect(statement);
    if (effect === 'opens') openBegin ??= statement;
    if (effect === 'closes') openBegin = undefined;
  }
  if (openBegin) {
    const hint = 'write COMMIT behind the statements that belong together';
    found.push({ start: openBegin.start, message: 'this transaction is never committed', hint });
  }
  if (file.script.trouble) found.push(file.script.trouble);
  return upToCopyData(found, file).map(({ start, message, hint }) => ({
    path: file.path,
    name: file.name,
    message,
    hint,
    at: { text: file.text, offset: start },
  }));
}

/** Behind COPY … FROM STDIN comes data; what it looks like as SQL is of no interest. */
function upToCopyData(found: readonly Found[], file: SqlFile): Found[] {
  const copy = file.script.statements.find(isCopyFromStdin)?.start ?? Infinity;
  return found.filter(({ start }) => start <= copy).toSorted((a, b) => a.start - b.start);
}

const directiveOf = (comment: LineComment): string | undefined => DIRECTIVE.exec(comment.text)?.[1];

function wrongDirective(comment: LineComment): Found[] {
  const directive = directiveOf(comment);
  if (directive === undefined) return [];
  if (directive !== NO_TRANSACTION) {
    const hint = `the one there is: -- cutover: ${NO_TRANSACTION}`;
    return [{ start: comment.start, message: `there is no directive "${directive}"`, hint }];
  }
  if (comment.leading) return [];
  const hint = 'move it above the first statement, or take it out';
  return [{ start: comment.start, message: 'this directive has no effect here', hint }];
}

type Wrong = Omit<Found, 'start'>;

const isCopyFromStdin = ({ words }: Statement): boolean =>
  words[0]?.text === 'copy' &&
  words.some(({ text, depth }, at) => text === 'stdin' && depth === 0 && words[at - 1]?.text === 'from');

/** What no migration file may hold, in a transaction or not. */
function neverRuns(statement: Statement): Wrong | undefined {
  const [first, second] = statement.words.map((word) => word.text);
  if (isCopyFromStdin(statement)) {
    return {
      message: 'COPY … FROM STDIN takes its rows from psql, which is not there',
      hint: 'write INSERT statements, or COPY from a file that the server can read',
    };
  }
  if (first === 'prepare' && second === 'transaction') {
    return {
      message: 'PREPARE TRANSACTION leaves a transaction behind that holds its locks until somebody ends it',
      hint: 'take it out',
    };
  }
  if (first === 'discard' && second === 'all') {
    return {
      message: 'DISCARD ALL gives up the lock that keeps a second migration out',
      hint: 'take it out: every file begins with a clean session',
    };
  }
  return undefined;
}

function breaksTransaction(statement: Statement): Wrong | undefined {
  const control = transactionEffect(statement);
  if (control) {
    return {
      message: `${(statement.words[0]?.text ?? '').toUpperCase()} does not belong here: the file runs in one transaction as it is`,
      hint: `take it out, or write -- cutover: ${NO_TRANSACTION} above the first statement`,
    };
  }
  const name = refusedInTransaction(statement);
  if (name === undefined) return undefined;
  return {
    message: `${name} cannot run inside a transaction`,
    hint: `give it a file of its own with -- cutover: ${NO_TRANSACTION} as its first line`,
  };
}

/** What a statement does to the transaction around it; `ROLLBACK TO` a savepoint leaves it as it is. */
function transactionEffect({ words }: Statement): 'opens' | 'closes' | undefined {
  const [first = '', second, third] = words.map((word) => word.text);
  const chained = words.some(({ text }, at) => text === 'chain' && words[at - 1]?.text !== 'no');
  switch (first) {
    case 'begin':
      return 'opens';
    case 'start':
      return second === 'transaction' ? 'opens' : undefined;
    case 'commit':
    case 'end':
    case 'abort':
    case 'rollback':
      if (first === 'rollback' && (second === 'to' || third === 'to')) return undefined;
      return chained ? 'opens' : 'closes';
    default:
      return undefined;
  }
}

/** The name of a statement that the server refuses in a transaction block, if it is one. */
function refusedInTransaction({ words }: Statement): string | undefined {
  const all = words.map((word) => word.text);
  const [first = '', second = ''] = all;
  const head = `${first} ${second}`;
  // A name is read as a word too, so CONCURRENTLY counts only where the grammar puts it.
  switch (first) {
    case 'vacuum':
      return 'VACUUM';
    case 'cluster':
      return all.length === 1 || (all.length === 2 && second === 'verbose') ? 'CLUSTER' : undefined;
    case 'create':
      if (all[all.indexOf('index') + 1] === 'concurrently' && all.indexOf('index') <= 2) {
        return 'CREATE INDEX CONCURRENTLY';
      }
      return second === 'database' || second === 'tablespace' ? head.toUpperCase() : undefined;
    case 'drop':
      if (second === 'index' && all[2] === 'concurrently') return 'DROP INDEX CONCURRENTLY';
      return second === 'database' || second === 'tablespace' ? head.toUpperCase() : undefined;
    case 'alter':
      return second === 'system' ? 'ALTER SYSTEM' : alterRefused(all);
    case 'reindex':
      return reindexRefused(words);
    default:
      return undefined;
  }
}

function alterRefused(all: readonly string[]): string | undefined {
  if (all[1] === 'table' && all.includes('detach') && all.at(-1) === 'concurrently') {
    return 'DETACH PARTITION … CONCURRENTLY';
  }
  if (all[1] !== 'database') return undefined;
  return all.includes('tablespace') && all[all.indexOf('tablespace') - 1] === 'set'
    ? 'ALTER DATABASE … SET TABLESPACE'
    : undefined;
}

function reindexRefused(words: Statement['words']): string | undefined {
  const top = words.filter(({ depth }) => depth === 0).map((word) => word.text);
  if (top[1] === 'database' || top[1] === 'system') return `REINDEX ${top[1].toUpperCase()}`;
  const option = words.some(({ text, depth }) => depth === 1 && text === 'concurrently');
  return option || top[2] === 'concurrently' ? 'REINDEX CONCURRENTLY' : undefined;
}
