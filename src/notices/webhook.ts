import { createHmac } from 'node:crypto';
import { z } from 'zod';
import type { Driver } from '../core/drivers/driver.ts';
import type { Notice, Notifier, NotifierContext } from '../core/drivers/notice.ts';
import { address, ask, placeOf } from './shared/http.ts';
import { noticeOptions } from './shared/manner.ts';

const options = noticeOptions({
  url: address().meta({ description: 'Where it is posted to: ${SLACK_WEBHOOK}.' }),
  format: z
    .enum(['slack', 'json'])
    .default('json')
    .meta({ description: 'slack: {"text": …}, which others take as well. json: every fact by its name.' }),
  secret: z
    .string()
    .min(1)
    .optional()
    .meta({ description: 'Signs the body, in the header x-cutover-signature; a reference.' }),
  headers: z.record(z.string(), z.string()).optional().meta({ description: 'Further headers.' }),
});
type Options = z.infer<typeof options>;

/** Posts each notice to an address. */
export const webhook: Driver<Options, NotifierContext, Notifier> = {
  name: 'webhook',
  summary: 'Posts to an address, in the shape that Slack takes or as plain JSON with a signature',
  options,
  secrets: ['url', 'secret', 'headers'],
  tokens: ['url', 'headers'],
  open({ url: given, format, secret: key, headers: more = {}, on, timeout }, { resolve }) {
    const url = resolve(given);
    const secret = key === undefined ? undefined : resolve(key);
    const headers = Object.entries(more).map(([name, value]): [string, string] => [name, resolve(value)]);
    return {
      place: `webhook ${placeOf(url)}`,
      on,
      timeout,
      async send(notice, signal) {
        const body = format === 'slack' ? slack(notice) : json(notice);
        const signature =
          secret === undefined
            ? []
            : [['x-cutover-signature', signatureOf(body, secret)] as [string, string]];
        const all: [string, string][] = [['content-type', 'application/json'], ...headers, ...signature];
        await ask(url, { method: 'POST', body, headers: Object.fromEntries(all) }, signal);
      },
    };
  },
};

/** The body holds `at`, so that whoever checks it can pass over what was sent long ago. */
const signatureOf = (body: string, secret: string): string =>
  `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`;

/** The three characters that mean something there. */
const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

const slack = ({ message, next }: Notice): string =>
  JSON.stringify({ text: escaped(`${message}\nNext: ${next}`) });

const json = ({ event, playbook, run, outcome, exit, message, next, at }: Notice): string =>
  JSON.stringify({ event, playbook, run: run ?? null, outcome, exit: exit ?? null, message, next, at });
