import { z } from 'zod';
import type { Driver } from '../core/drivers/driver.ts';
import { messageOf } from '../core/errors.ts';
import {
  UndeliverableError,
  type Notice,
  type Notifier,
  type NotifierContext,
} from '../core/drivers/notice.ts';
import { noticeOptions } from './shared/manner.ts';

const mailbox = () =>
  z.string().regex(/^[^\r\n]*[^\s@<>]+@[^\s@<>]+>?$/, { error: 'must be a mail address: ops@example.com' });

const options = noticeOptions({
  smtp: z
    .string()
    .regex(/^smtps?:\/\/[^\s]+$/i, { error: 'must be a mail server: smtp://user@host:587, or smtps://…' })
    .meta({ description: 'The mail server: ${SMTP_URL}, as in smtps://user:password@mail.example.com.' }),
  from: mailbox().meta({ description: 'The sender.' }),
  to: z.array(mailbox()).min(1).meta({ description: 'Who gets it.' }),
});
type Options = z.infer<typeof options>;

/** Sends each notice as a mail. */
export const email: Driver<Options, NotifierContext, Notifier> = {
  name: 'email',
  summary: 'A mail by SMTP',
  options,
  secrets: ['smtp'],
  open({ smtp, from, to, on, timeout }, { resolve }) {
    const url = resolve(smtp);
    return {
      place: `email to ${to.join(', ')}`,
      on,
      timeout,
      send: (notice, signal) => send(notice, { url, from, to, timeout }, signal),
    };
  },
};

async function send(
  notice: Notice,
  { url, from, to, timeout }: { url: string; from: string; to: readonly string[]; timeout: number },
  signal: AbortSignal,
): Promise<void> {
  // Only now: most runs send no mail.
  const { createTransport } = await import('nodemailer');
  const transport = createTransport({
    url,
    connectionTimeout: timeout,
    greetingTimeout: timeout,
    socketTimeout: timeout,
    dnsTimeout: timeout,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  try {
    await transport.sendMail({ from, to: [...to], subject: subjectOf(notice), text: textOf(notice), signal });
  } catch (error) {
    signal.throwIfAborted();
    const { responseCode, code } = error as { responseCode?: number; code?: string };
    // 4xx is what a server says that will take it later.
    const final = (responseCode ?? (code === 'EAUTH' ? 500 : 0)) >= 500;
    throw final ? new UndeliverableError(messageOf(error), { cause: error }) : error;
  } finally {
    transport.close();
  }
}

/** Of the message as much as a subject holds. */
const subjectOf = ({ playbook, event, outcome }: Notice): string =>
  `${playbook}: ${event}${event === outcome ? '' : ` (${outcome})`}`;

const textOf = ({ message, next, run, exit, at }: Notice): string =>
  [
    message,
    '',
    `Next: ${next}`,
    '',
    ...(run === undefined ? [] : [`Run: ${run}`]),
    ...(exit === undefined ? [] : [`Exit code: ${exit}`]),
    `At: ${at}`,
    '',
  ].join('\n');
