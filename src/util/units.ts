const MILLISECONDS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of `250ms`, `2s`, `10m`, `1.5h`, `7d`; undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text);
  return match ? Math.round(Number(match[1]) * MILLISECONDS[match[2]!]!) : undefined;
}

const BYTES: Record<string, number> = {
  B: 1,
  kB: 1000,
  MB: 1000 ** 2,
  GB: 1000 ** 3,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};

/** Bytes of `512B`, `64kB`, `10MB`, `1.5GB` (powers of 1000), `1GiB` (powers of 1024); undefined for anything else. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(B|kB|MB|GB|KiB|MiB|GiB)$/.exec(text);
  return match ? Math.round(Number(match[1]) * BYTES[match[2]!]!) : undefined;
}

/** `18 ms`, `2.4 s`, `3 min 05 s`, `2 h 10 min`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}

/** `8.2 MB`, in powers of 1000. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 99.5 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** `3,351`. */
export const formatCount = (count: number | bigint): string =>
  // Not toLocaleString: the first one of a process takes twenty milliseconds.
  String(count).replaceAll(/\B(?=(?:\d{3})+$)/g, ',');

/** `1 row`, `2 rows`. */
export const plural = (count: number | bigint, noun: string, many = `${noun}s`): string =>
  `${formatCount(count)} ${BigInt(count) === 1n ? noun : many}`;

/** A duration that is only expected. */
export interface Estimate {
  /** Milliseconds. */
  readonly ms: number;
  /** What the figure rests on, in words. */
  readonly basis: string;
  /** Where it was measured before: between what it will be, most likely. */
  readonly least?: number;
  readonly most?: number;
}
