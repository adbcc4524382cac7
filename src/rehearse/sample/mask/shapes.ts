import type { SourceColumn } from '../model.ts';
import type { MaskKind } from './words.ts';

/** How a column is masked. */
export interface Mask {
  readonly kind: MaskKind;
  /** Of the column's values. */
  readonly family: Family;
  /** Characters at most, or the largest number. */
  readonly most: number | undefined;
  /** Values that differ by their case only are equal. */
  readonly folds: boolean;
}

/** Types whose masks are made in the same way, so that equal values of any of them have equal masks. */
export type Family =
  | 'text'
  | 'integer'
  | 'numeric'
  | 'float'
  | 'date'
  | 'timestamp'
  | 'inet'
  | 'uuid'
  | 'json'
  | 'bytea'
  | 'none';

const FAMILIES: Readonly<Record<string, Family>> = {
  text: 'text',
  varchar: 'text',
  bpchar: 'text',
  name: 'text',
  citext: 'text',
  int2: 'integer',
  int4: 'integer',
  int8: 'integer',
  numeric: 'numeric',
  float4: 'float',
  float8: 'float',
  date: 'date',
  timestamp: 'timestamp',
  timestamptz: 'timestamp',
  inet: 'inet',
  cidr: 'inet',
  uuid: 'uuid',
  json: 'json',
  jsonb: 'json',
  bytea: 'bytea',
};

/** `none` is that of types for which there is no mask but NULL. */
export const familyOf = ({ kind }: SourceColumn): Family =>
  Object.hasOwn(FAMILIES, kind) ? FAMILIES[kind]! : 'none';

const LARGEST: Readonly<Record<string, number>> = { int2: 32_767, int4: 2_147_483_647 };

export const mostOf = ({ kind, limit }: SourceColumn): number | undefined =>
  LARGEST[kind] ?? limit ?? undefined;

/** The setting of the session that holds the key. */
export const KEY_SETTING = 'cutover.mask_key';

const KEY = `convert_to(current_setting('${KEY_SETTING}'), 'UTF8')`;
/** Sixty bits of the hash from a digit on, as a number that is not negative. */
const bits = (from: number): string => `('x' || substr(m.hex, ${from}, 15))::bit(60)::bigint`;

/**
 * SQL for the masked value of a column; NULL stays NULL, and so does an empty text. It is a hash under a key that only
 * the session knows: whoever has the fixture cannot try values out.
 */
export function masked(value: string, column: SourceColumn, mask: Mask): string {
  if (mask.family === 'none') return `NULL::${column.base}`;
  if (mask.family === 'json') return `CASE WHEN ${value} IS NOT NULL THEN '{}'::${column.base} END`;
  const text = mask.folds ? `lower(${value}::text)` : `${value}::text`;
  const hash = `sha256(${KEY} || sha256(${KEY} || convert_to(${text}, 'UTF8')))`;
  const shaped = `(SELECT ${shapeOf(value, column, mask)} FROM (SELECT encode(h.hash, 'hex') AS hex, h.hash
    FROM (SELECT ${hash} AS hash OFFSET 0) h OFFSET 0) m)`;
  const whole = `CASE WHEN ${value} IS NULL THEN NULL ${asIs(value, mask)} ELSE ${shaped} END`;
  return `(${whole})::${column.base}`;
}

/** Values that say nothing about anybody. */
function asIs(value: string, { family }: Mask): string {
  switch (family) {
    case 'text':
      return `WHEN ${value}::text = '' THEN ${value}`;
    case 'numeric':
    case 'float':
      return `WHEN ${value}::text IN ('NaN', 'Infinity', '-Infinity') THEN ${value}`;
    case 'date':
    case 'timestamp':
      return `WHEN NOT isfinite(${value}) THEN ${value}`;
    case 'integer':
    case 'inet':
    case 'uuid':
    case 'json':
    case 'bytea':
    case 'none':
      return '';
  }
}

function shapeOf(value: string, column: SourceColumn, mask: Mask): string {
  switch (mask.family) {
    case 'text':
      return textShape(`${value}::text`, mask);
    case 'integer':
      return sameDigits(`${value}::numeric`, mask.most ?? '9223372036854775807');
    case 'numeric':
      return `round(${sameDigits(`${value} * ('1e' || scale(${value}))::numeric`, undefined)} / ('1e' || scale(${value}))::numeric, scale(${value}))`;
    case 'float':
      return sameDigits(`trunc(${value}::numeric)`, undefined);
    case 'date':
      return `${value} + ${DAYS}`;
    case 'timestamp':
      return `${value} + make_interval(days => ${DAYS}, secs => (${bits(31)} % 43200)::float8)`;
    case 'inet':
      return `('10.' || get_byte(m.hash, 0) || '.' || get_byte(m.hash, 1) || '.' || get_byte(m.hash, 2))::${column.base}`;
    case 'uuid':
      return 'left(m.hex, 32)::uuid';
    case 'bytea':
      return 'm.hash';
    case 'json':
    case 'none':
      return 'NULL';
  }
}

/** Half a year there or back; never the day itself. */
const DAYS = `((1 + ${bits(1)} % 179) * (1 - 2 * (${bits(16)} % 2)))::int`;

/** Enough of the hash that values which differ do so afterwards. */
const HASH_CHARACTERS = 32;
const PHONE_DIGITS = 15;
const DOMAIN = '@example.com';
/** Of an e-mail address before its domain; shorter ones would soon be alike. */
const LEAST = 12;

function textShape(text: string, { kind, most }: Mask): string {
  const cut = (length: string): string => (most === undefined ? length : `least(${length}, ${most})`);
  if (kind === 'email' && (most ?? Infinity) >= LEAST + 1 + DOMAIN.length) {
    const characters = Math.min(24, (most ?? Infinity) - 1 - DOMAIN.length);
    return `'u' || left(m.hex, ${characters}) || '${DOMAIN}'`;
  }
  if (kind === 'phone')
    return `left(repeat(translate(m.hex, 'abcdef', '012345'), length(${text}) / 64 + 1), ${cut(`greatest(length(${text}), ${PHONE_DIGITS})`)})`;
  const length = cut(`greatest(length(${text}), ${HASH_CHARACTERS})`);
  return `left(repeat(m.hex, length(${text}) / 64 + 1), ${length})`;
}

/** A number of the same sign with as many digits as the whole one has; each of them depends on the hash. */
function sameDigits(number: string, most: number | string | undefined): string {
  const digits = 'length(abs(n.v)::text)';
  const low = `CASE WHEN abs(n.v) < 10 THEN 0 ELSE ('1e' || ${digits} - 1)::numeric END`;
  const top = `('1e' || ${digits})::numeric - 1`;
  const high = most === undefined ? top : `least(${top}, ${most})`;
  const hash = `(${bits(1)} * ${2n ** 60n}::numeric + ${bits(16)})`;
  return `(SELECT (CASE WHEN n.v < 0 THEN -1 ELSE 1 END) * (n.low + div((n.high - n.low + 1) * ${hash}, ${2n ** 120n}))
    FROM (SELECT n.v, ${low} AS low, ${high} AS high FROM (SELECT trunc(${number}) AS v) n) n)`;
}
