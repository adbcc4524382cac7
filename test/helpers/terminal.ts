import { spawn, spawnSync } from 'node:child_process';
import { stripVTControlCharacters } from 'node:util';
import { cli, type Workplace } from './cli.ts';

/** What makes the terminal: python3 has ptys in its standard library, Node has none. */
const PYTHON = 'python3';

/** Why there can be no terminal here; undefined when there can. */
export const noTerminal: string | undefined =
  spawnSync(PYTHON, ['-c', 'import pty, fcntl, termios']).status === 0
    ? undefined
    : 'SKIPPED: no python3 with ptys here';

/**
 * Runs a command on a pty of its own and passes on what is typed and shown. The command's id is the first line on
 * standard error; with `pipe` its standard output is file descriptor 3. When nothing more comes in, the terminal
 * goes away under the command, as when an ssh connection breaks.
 */
const RELAY = `
import fcntl, os, pty, select, struct, sys, termios
columns, rows, stdout, *command = sys.argv[1:]
ready, go = os.pipe()
pid, master = pty.fork()
if pid == 0:
    os.close(go)
    os.read(ready, 1)
    if stdout == 'pipe': os.dup2(3, 1)
    os.closerange(3, 64)
    os.execvp(command[0], command)
fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack('HHHH', int(rows), int(columns), 0, 0))
os.close(3)
os.close(go)
sys.stderr.write(str(pid) + '\\n'); sys.stderr.flush()
while True:
    readable, _, _ = select.select([0, master], [], [])
    if master in readable:
        try: data = os.read(master, 65536)
        except OSError: data = b''
        if not data: break
        os.write(1, data)
    if 0 in readable:
        typed = os.read(0, 65536)
        if not typed: break
        os.write(master, typed)
os.close(master)
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
sys.exit(128 - status if status < 0 else status)
`;

export interface TerminalOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly columns?: number;
  /** Where standard output goes. */
  readonly stdout?: 'terminal' | 'pipe';
}

export interface Terminal {
  /** Everything that was written to the terminal, control sequences included. */
  raw(): string;
  /** The same as plain text. */
  text(): string;
  /** The last lines of it. */
  end(): string;
  /** Waits until the plain text matches; fails with what is there instead when the command ends before, or in a minute. */
  waitFor(pattern: RegExp): Promise<void>;
  type(keys: string): void;
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Takes the terminal away. */
  hangUp(): void;
  /** Exit code (128 and the signal's number when one ended it) and piped standard output. */
  readonly done: Promise<{ code: number | null; out: string }>;
}

/** Runs `cutover` in a workplace, at a terminal. */
export function terminal(
  work: Workplace,
  args: readonly string[],
  { env = {}, columns = 100, stdout = 'terminal' }: TerminalOptions = {},
): Terminal {
  const { CI: _ci, NO_COLOR: _noColor, FORCE_COLOR: _force, ...inherited } = process.env;
  const child = spawn(PYTHON, ['-c', RELAY, String(columns), '40', stdout, process.execPath, cli, ...args], {
    cwd: work.folder,
    env: { ...inherited, TERM: 'xterm-256color', ...env },
    stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
  });
  let raw = '';
  let out = '';
  let ended = false;
  child.stdin.on('error', () => undefined);
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (raw += chunk));
  (child.stdio[3] as NodeJS.ReadableStream).setEncoding('utf8').on('data', (chunk: string) => (out += chunk));
  const pid = new Promise<number>((resolve) => {
    child.stderr.setEncoding('utf8').once('data', (line: string) => resolve(Number.parseInt(line, 10)));
  });
  const done = new Promise<{ code: number | null; out: string }>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      ended = true;
      resolve({ code, out });
    });
  });
  const text = (): string => stripVTControlCharacters(raw);
  return {
    raw: () => raw,
    text,
    end: () => text().slice(-2000),
    async waitFor(pattern) {
      for (const deadline = Date.now() + 60_000; !pattern.test(text());) {
        if (ended || Date.now() > deadline)
          throw new Error(`${pattern} did not come; the terminal shows:\n${text().slice(-2000)}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    type: (keys) => void child.stdin.write(keys),
    async kill(signal) {
      process.kill(await pid, signal);
    },
    hangUp: () => void child.stdin.end(),
    done,
  };
}
