import { open, type FileHandle } from 'node:fs/promises';
import { StepError } from '../../core/errors.ts';

export const TAR_BLOCK = 512;
/** Where a member's header holds the size of what follows. */
const [SIZE_AT, SIZE_END] = [124, 136];

/**
 * Walks from member to member to the block that ends the file. Throws StepError when it is cut off: pg_restore reads on
 * for ever in one that ends in the middle of a member.
 */
export async function expectWholeTar(path: string): Promise<void> {
  const handle = await open(path);
  try {
    const { size } = await handle.stat();
    for (let at = 0; ;) {
      const header = await blockAt(handle, at);
      if (header === undefined || at > size)
        throw new StepError('the archive is cut off: its end is missing', { where: path });
      if (header.every((byte) => byte === 0)) return;
      at += TAR_BLOCK * (1 + Math.ceil(sizeIn(header) / TAR_BLOCK));
    }
  } finally {
    await handle.close();
  }
}

async function blockAt(handle: FileHandle, at: number): Promise<Buffer | undefined> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(TAR_BLOCK), 0, TAR_BLOCK, at);
  return bytesRead === TAR_BLOCK ? buffer : undefined;
}

/** Octal digits, or from 8 GB on a number of bytes. */
function sizeIn(header: Buffer): number {
  const field = header.subarray(SIZE_AT, SIZE_END);
  const size =
    (field[0]! & 0x80) === 0
      ? Number.parseInt(field.toString('latin1'), 8)
      : field.subarray(1).reduce((sum, byte) => sum * 256 + byte, 0);
  if (Number.isSafeInteger(size)) return size;
  throw new StepError('the archive is damaged: a part of it does not say how large it is');
}
