/**
 * Writes fixtures/shopping-points/rows.sql, the 3,342 rows that nobody would type: shops, their names and rates.
 * Seeded, so that running it again gives the same bytes.
 *
 *     node scripts/fixture-shopping-points.ts
 */
import { readFileSync, writeFileSync } from 'node:fs';

type Value = string | number | boolean | null | { json: unknown };
type Row = Value[];

const COUNTS = { main: 821, variants: 843, shops: 832, rates: 846 };
const ROWS_PER_INSERT = 100;
const SEED = 0x5eed_cafe;

/** mulberry32 (Tommy Ettinger, public domain): 32 bits of state, uniform in [0, 1). */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const FOLDER = new URL('../fixtures/shopping-points/', import.meta.url);

/**
 * odd: names that break naive quoting, normalising, measuring and printing; first and second: what ordinary
 * names are made of; floats: what only survives a copy with all of its bits.
 */
type Values = Record<'odd' | 'first' | 'second' | 'notes', string[]> & { floats: number[] };
const VALUES = JSON.parse(readFileSync(new URL('values.json', FOLDER), 'utf8')) as Values;

const random = mulberry32(SEED);
const below = (limit: number): number => Math.floor(random() * limit);
const chance = (probability: number): boolean => random() < probability;

function pick<Item>(items: readonly Item[]): Item {
  const item = items[below(items.length)];
  if (item === undefined) throw new RangeError('nothing to pick from');
  return item;
}

/** The value, or NULL with the given probability. The value's draws happen either way. */
const orNull = (probability: number, value: Value): Value => (chance(probability) ? null : value);

/** The odd ones first, each once, then ordinary ones. */
function shopName(index: number): string {
  return VALUES.odd[index] ?? `${pick(VALUES.first)}-${pick(VALUES.second)} ${below(1000)}`;
}

const float = (upTo: number): number => (chance(0.1) ? pick(VALUES.floats) : random() * upTo);
const decimal = (upTo: number, digits: number): number => Number((random() * upTo).toFixed(digits));

function uuid(): string {
  const hex = Array.from({ length: 32 }, () => below(16).toString(16));
  hex[12] = '4';
  hex[16] = pick(['8', '9', 'a', 'b']);
  return hex.join('').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

const FROM = Date.UTC(2021, 0, 1);
const TO = Date.UTC(2026, 9, 1);

/** Without a zone, to the microsecond (one in ten to the second). */
function timestamp(): string {
  const date = new Date(FROM + below((TO - FROM) / 1000) * 1000);
  const seconds = date.toISOString().slice(0, 19).replace('T', ' ');
  const micros = String(below(1_000_000)).padStart(6, '0');
  return chance(0.1) ? seconds : `${seconds}.${micros}`;
}

const timestamptz = (): string => timestamp() + pick(['+00', '+00', '+01', '+02', '-08', '+05:30']);

function meta(index: number): Value {
  const kind = index % 8;
  if (kind === 0) return null;
  if (kind === 1) return { json: null };
  if (kind === 2) return { json: {} };
  if (kind === 3) return { json: [1, 'zwei', null, [true, {}], 1e21, 0.1 + 0.2] };
  return {
    json: {
      tags: [pick(VALUES.first), pick(VALUES.second)],
      score: float(10),
      'schlüssel mit "quotes"': 'Wert\n\\ \t 🛒',
      nested: { empty: '', none: null, deep: { deeper: [below(10)] } },
    },
  };
}

function mainRows(): Row[] {
  const rows: Row[] = [];
  const ids: string[] = [];
  for (let index = 0; index < COUNTS.main; index += 1) {
    const id = uuid();
    const merged = index > 30 && chance(0.05);
    const website = `https://shop-${index}.example/?q=${below(9)}&ref=%20`;
    rows.push([
      id,
      shopName(index),
      orNull(0.2, website),
      merged ? 'merged' : pick(['active', 'active', 'active', 'closed']),
      merged ? pick(ids) : null,
      chance(0.01) ? 2_147_483_647 : below(50_000),
      orNull(0.3, float(5)),
      meta(index),
      orNull(0.9, 1),
      timestamp(),
      orNull(0.25, timestamptz()),
    ]);
    ids.push(id);
  }
  return rows;
}

const SOURCES = ['miles_and_more', 'payback', 'shoop'];

function variantRows(main: Row[]): Row[] {
  return Array.from({ length: COUNTS.variants }, (_, index) => {
    const owner = main[index] ?? pick(main);
    const sourceId = index === 7 ? '' : `${index}-${below(100_000)}`;
    const landing = `https://go.example/${index}/${'ä'.repeat(below(40))}`;
    return [
      uuid(),
      owner[0] ?? null,
      pick(SOURCES),
      owner[1] ?? null,
      orNull(0.3, sourceId),
      orNull(0.2, landing),
      chance(0.6) ? 100 : float(100),
      timestamp(),
    ];
  });
}

function shopRows(main: Row[]): Row[] {
  const ids: string[] = [];
  return Array.from({ length: COUNTS.shops }, (_, index) => {
    const owner = main[index];
    const id = uuid();
    const parent = index > 50 && chance(0.08) ? pick(ids) : null;
    ids.push(id);
    return [
      id,
      owner?.[0] ?? null,
      parent,
      owner?.[1] ?? shopName(index),
      orNull(0.07, pick(['basic', 'basic', 'plus', 'premium'])),
      orNull(0.4, float(20)),
      pick([true, true, false, null]),
      orNull(0.5, timestamp().slice(0, 10)),
      timestamp(),
      orNull(0.25, timestamptz()),
    ];
  });
}

/** Ids have gaps, as after deletions; the identity sequence is set past the highest. */
function rateRows(shops: Row[]): Row[] {
  let id = 0;
  return Array.from({ length: COUNTS.rates }, (_, index) => {
    id += chance(0.05) ? 1 + below(5) : 1;
    const shop = shops[index] ?? pick(shops);
    return [
      id,
      shop[0] ?? null,
      1 + below(3),
      null,
      pick(['shop', 'shop', 'contract', 'voucher']),
      float(10),
      orNull(0.5, float(15)),
      orNull(0.8, decimal(99_999, 4)),
      orNull(0.6, pick(VALUES.notes)),
      timestamp(),
      orNull(0.7, timestamptz()),
    ];
  });
}

const ESCAPES: Record<string, string> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t', "'": "''" };

/** E'' only where it is needed, so that the file holds no bare tab, newline or carriage return inside a text. */
function literal(value: Value): string {
  if (value === null) return 'NULL';
  if (typeof value === 'boolean') return String(value);
  // A bare -0 is a numeric, and numeric knows no negative zero.
  if (typeof value === 'number') return Object.is(value, -0) ? "'-0'" : String(value);
  const text = typeof value === 'string' ? value : JSON.stringify(value.json);
  const escaped = text.replace(/[\\\n\r\t']/g, (character) => ESCAPES[character] ?? character);
  return /[\\\n\r\t]/.test(text) ? `E'${escaped}'` : `'${escaped}'`;
}

/** Multi-row INSERTs of ROWS_PER_INSERT rows at most. */
function inserts(table: string, columns: string, rows: Row[]): string {
  const statements: string[] = [];
  for (let start = 0; start < rows.length; start += ROWS_PER_INSERT) {
    const lines = rows.slice(start, start + ROWS_PER_INSERT).map((row) => `(${row.map(literal).join(', ')})`);
    statements.push(`INSERT INTO ${table} (${columns}) VALUES\n${lines.join(',\n')};\n`);
  }
  return statements.join('\n');
}

const lastId = (rows: Row[]): string => literal(rows.at(-1)?.[0] ?? null);

function rowsSql(): string {
  const main = mainRows();
  const variants = variantRows(main);
  const shops = shopRows(main);
  const rates = rateRows(shops);
  return [
    '-- Written by scripts/fixture-shopping-points.ts: change that file, not this one.\n',
    inserts(
      'shop_main',
      'id, canonical_name, website, status, merged_into_id, click_count, rating, meta, updated_by_user_id, created_at, updated_at',
      main,
    ),
    inserts(
      'shop_variants',
      'id, shop_main_id, source, source_name, source_id, landing_url, confidence_score, created_at',
      variants,
    ),
    inserts(
      'shops',
      'id, shop_main_id, parent_id, name, plan, commission, is_online, opened_on, created_at, updated_at',
      shops,
    ),
    inserts(
      'shop_program_rates',
      'id, shop_id, program_id, category_id, rate_type, points_per_eur, cashback_pct, cashback_absolute, rate_note, valid_from, valid_to',
      rates,
    ),
    '-- The rows came with their ids: the sequence has to follow.',
    `SELECT setval('shop_program_rates_id_seq', ${lastId(rates)});\n`,
  ].join('\n');
}

writeFileSync(new URL('rows.sql', FOLDER), rowsSql());
