import { Client } from 'pg';
import { createReader, prepareReaderSession } from '../../src/databases/postgres/reading/reader.ts';
import { quotePath } from '../../src/util/sql.ts';
import type { TestServer } from './postgres.ts';

/**
 * Everything in a database as text: every object's definition, every row in physical text form, every sequence, and
 * what the server knows of the database itself. Two equal dumps are equal databases.
 */
export async function dump(server: TestServer, database: string): Promise<string[]> {
  const client = new Client({ connectionString: server.url(database) });
  await client.connect();
  try {
    await prepareReaderSession(client);
    const reader = createReader([client]);
    const catalog = await reader.catalog();
    const lines = catalog.objects.map(
      ({ kind, path, definition }) => `${kind} ${JSON.stringify(path)} ${definition}`,
    );
    for (const { path, partitioned } of catalog.tables) {
      const { rows } = await client.query<{ row: string }>(
        `select t::text as row from ${partitioned ? '' : 'only '}${quotePath(path)} t order by t::text collate "C"`,
      );
      lines.push(...rows.map(({ row }) => `row of ${quotePath(path)} ${row}`));
    }
    for (const { path, lastValue, isCalled } of await reader.sequences()) {
      lines.push(`sequence value ${quotePath(path)} ${lastValue} ${isCalled}`);
    }
    return [...lines, ...(await databaseLines(client))];
  } finally {
    await client.end();
  }
}

async function databaseLines(client: Client): Promise<string[]> {
  const { rows } = await client.query<{ line: string }>(
    `select format('database owner %s limit %s open %s template %s comment %s',
              datdba::regrole, datconnlimit, datallowconn, datistemplate, shobj_description(oid, 'pg_database')) as line
       from pg_database where datname = current_database()
     union all
     select format('grant %s to %s by %s %s', a.privilege_type, a.grantee::regrole, a.grantor::regrole, a.is_grantable)
       from pg_database d, aclexplode(d.datacl) a where datname = current_database()
     union all
     select format('setting for %s: %s', s.setrole::regrole, c)
       from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase, unnest(s.setconfig) c
       where d.datname = current_database()
     union all
     select format('large object %s %s', loid, string_agg(encode(data, 'hex'), '' order by pageno)) from pg_largeobject group by loid
     order by 1`,
  );
  return rows.map(({ line }) => line);
}
