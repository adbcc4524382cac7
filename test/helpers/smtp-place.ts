import { createServer, type AddressInfo } from 'node:net';
import type { ExecutionContext } from 'ava';

export interface Mail {
  readonly from: string;
  readonly to: string[];
  /** Headers and text as they came. */
  readonly data: string;
  /** What the client said of itself, decoded: `\0user\0password`. */
  readonly auth: string | undefined;
}

export interface SmtpPlace {
  readonly port: number;
  readonly mails: Mail[];
  /** How often somebody began a mail. */
  readonly begun: () => number;
}

/** A real mail server of this machine, as much of one as a client needs; `refuse` answers to MAIL, when it says something. */
export async function smtpPlace(
  t: Pick<ExecutionContext, 'teardown'>,
  refuse: (begun: number) => string | undefined = () => undefined,
): Promise<SmtpPlace> {
  const mails: Mail[] = [];
  let begun = 0;
  const server = createServer((socket) => {
    let rest = '';
    let data: string[] | undefined;
    let mail = { from: '', to: [] as string[], auth: undefined as string | undefined };
    const say = (line: string): void => void socket.write(`${line}\r\n`);
    const take = (line: string): void => {
      if (data) {
        if (line !== '.') return void data.push(line.replace(/^\.\./, '.'));
        mails.push({ ...mail, data: data.join('\n') });
        data = undefined;
        return say('250 taken');
      }
      const [, verb = '', rest = ''] = /^(\w+)\s*(.*)$/.exec(line) ?? [];
      switch (verb.toUpperCase()) {
        case 'EHLO':
          return void ['250-here', '250-AUTH PLAIN', '250 8BITMIME'].map(say);
        case 'AUTH':
          mail.auth = Buffer.from(rest.replace(/^PLAIN /, ''), 'base64').toString();
          return say('235 come in');
        case 'MAIL':
          begun += 1;
          mail = { ...mail, from: rest, to: [] };
          return say(refuse(begun) ?? '250 ok');
        case 'RCPT':
          mail.to.push(rest);
          return say('250 ok');
        case 'DATA':
          data = [];
          return say('354 go on');
        case 'QUIT':
          say('221 bye');
          return void socket.end();
        default:
          return say('250 ok');
      }
    };
    socket.on('error', () => undefined);
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\r\n');
      rest = lines.pop()!;
      for (const line of lines) take(line);
    });
    say('220 here');
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.teardown(() => server.close());
  return { port: (server.address() as AddressInfo).port, mails, begun: () => begun };
}
