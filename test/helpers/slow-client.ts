import { Client } from 'pg';

/** A client whose every transaction takes `seconds`: PAUSE waits for it, and there is time to strike. */
export async function slowClient(url: string, seconds: number): Promise<{ end(): Promise<void> }> {
  const client = new Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  const over = new AbortController();
  const running = (async () => {
    while (!over.signal.aborted) await client.query(`begin; select pg_sleep(${seconds}); commit`);
  })();
  running.catch(() => undefined);
  return {
    async end() {
      over.abort();
      await running;
      await client.end();
    },
  };
}
