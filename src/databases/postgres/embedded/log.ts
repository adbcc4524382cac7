import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';

const LOG_BYTES = 64 * 1024;

/** How far the log of a server has come. */
export const logBytes = (home: string): Promise<number> =>
  stat(join(home, 'log')).then(
    ({ size }) => size,
    () => 0,
  );

/** The end of the log; what is behind so many bytes, at most. It only grows, and is never read whole. */
export async function readLog(home: string, from = 0): Promise<string> {
  // Before the first start there is none; why it cannot be read is no reason to tell nothing else.
  const log = await open(join(home, 'log'), 'r').catch(() => undefined);
  if (!log) return '';
  try {
    const { size } = await log.stat();
    const start = Math.max(size - LOG_BYTES, from <= size ? from : 0);
    const { buffer, bytesRead } = await log.read(Buffer.alloc(size - start), 0, size - start, start);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await log.close();
  }
}
