import { LIVE_SETTINGS, type LiveScene } from './live-scene.ts';
import type { TestServer } from './postgres.ts';

/** As narrow as blue was, and as wide as green became. */
export const WIDENED = {
  sql: `create table "Wide ""one""" (id int primary key, n int); create table plain (id int primary key, note text);
    insert into "Wide ""one""" values (1, 1); insert into plain values (1, 'one');`,
  migration: 'alter table "Wide ""one""" alter n type bigint',
  head: 'sync: logical\nexpect: { changed: [\'public."Wide ""one""".n\'] }',
};

export const SETTINGS = {
  ...LIVE_SETTINGS,
  wal_retrieve_retry_interval: '100ms',
};

export const rowsOf = async (on: TestServer, name: string): Promise<unknown> => ({
  plain: await on.sql('select id, note from plain order by id', name),
  wide: await on.sql('select id, n::text from "Wide ""one""" order by id', name),
});

/** Two transactions that do not fit, each with something that would, between three that do. */
export async function written({ green }: LiveScene): Promise<void> {
  const client = await green.server.connect(green.name);
  for (const sql of [
    `insert into plain values (2, 'before')`,
    `begin; insert into plain values (3, 'along'); insert into "Wide ""one""" values (2, 3000000000); update plain set note = 'not' where id = 1; commit`,
    `insert into plain values (4, 'between'); update plain set note = 'yes' where id = 2`,
    `begin; delete from plain where id = 4; insert into "Wide ""one""" values (3, 3), (4, 4000000000); commit`,
    `insert into plain values (5, 'behind')`,
  ])
    await client.query(sql);
}

export const HELD = {
  plain: [
    { id: 1, note: 'one' },
    { id: 2, note: 'yes' },
    { id: 4, note: 'between' },
    { id: 5, note: 'behind' },
  ],
  wide: [{ id: 1, n: '1' }],
};
export const ALL = {
  plain: [
    { id: 1, note: 'not' },
    { id: 2, note: 'yes' },
    { id: 3, note: 'along' },
    { id: 5, note: 'behind' },
  ],
  wide: [
    { id: 1, n: '1' },
    { id: 2, n: '3000000000' },
    { id: 3, n: '3' },
    { id: 4, n: '4000000000' },
  ],
};
export const FIRST =
  /1 row inserted into public\."Wide ""one""", 1 row inserted into public\.plain, 1 row updated in public\.plain/;
export const SECOND = /2 rows inserted into public\."Wide ""one""", 1 row deleted from public\.plain/;
