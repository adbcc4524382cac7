import type { Client } from 'pg';

/** How long a server may take to say goodbye, in milliseconds. */
const END_MS = 2000;

/** Lets go of a server at once: whatever it is executing is not waited for. */
export function destroyClient(client: Client): void {
  (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
}

/** Ends a connection; a server that says nothing any more, or is gone, does not keep the tool from ending. */
export async function endClient(client: Client): Promise<void> {
  const timer = setTimeout(() => destroyClient(client), END_MS);
  try {
    await client.end();
  } catch {
    // It is gone already.
  } finally {
    clearTimeout(timer);
  }
}
