import { open } from 'node:fs/promises';
import { messageOf, UsageError } from '../errors.ts';
import { Mistakes } from './mistakes.ts';
import { ENV_FILE, PLAYBOOK, type TextKind } from './kinds.ts';

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'it may not be read by this user',
  EISDIR: 'it is a folder',
};

/**
 * Reads a text file of at most as many bytes as its kind may have; never more than that, whatever the file turns out to be.
 *
 * @throws UsageError when it cannot be read, PlaybookError when it is too large or not UTF-8.
 */
export async function readLimited(file: string, kind: TextKind = PLAYBOOK): Promise<string> {
  const bytes = await readBytes(file, kind.limits.bytes).catch((error: unknown) => {
    const reason = REASONS[String((error as { code?: unknown }).code)] ?? messageOf(error);
    throw new UsageError(`cannot read ${file}: ${reason}`, { cause: error });
  });
  if (bytes.length > kind.limits.bytes)
    throw wrong(file, `larger than ${kind.limits.bytes / 1_000_000} MB: this is no ${kind.noun}`);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    const utf16 = /^(?:fffe|feff)/.test(bytes.subarray(0, 2).toString('hex'));
    throw wrong(
      file,
      `not UTF-8 text${utf16 ? ' but UTF-16' : ''}; save it as UTF-8`,
      kind === ENV_FILE ? undefined : bytes,
    );
  }
}

async function readBytes(file: string, most: number): Promise<Buffer> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    const bytes = Buffer.alloc(size > most ? 0 : most + 1);
    if (bytes.length === 0) return Buffer.alloc(most + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await handle.read(bytes, length, bytes.length - length);
      length += bytesRead;
      if (bytesRead === 0) return bytes.subarray(0, length);
    }
  } finally {
    await handle.close();
  }
}

/** At the first byte that is not UTF-8, if the file may be shown at all: an env file is full of secrets. */
function wrong(file: string, message: string, bytes?: Buffer): Error {
  const text = bytes?.toString('utf8') ?? '';
  const start = Math.max(0, text.indexOf('\uFFFD'));
  const mistakes = new Mistakes(file, text);
  mistakes.add({ start, end: start + 1 }, [], message);
  try {
    mistakes.throwIfAny();
  } catch (error) {
    return error as Error;
  }
  return new TypeError(message);
}
