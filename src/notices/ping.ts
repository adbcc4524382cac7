import type { z } from 'zod';
import type { Driver } from '../core/drivers/driver.ts';
import type { Notice, Notifier, NotifierContext } from '../core/drivers/notice.ts';
import { address, ask, placeOf } from './shared/http.ts';
import { noticeOptions } from './shared/manner.ts';

const STATES = ['started', 'held', 'switched', 'failed', 'swapped-back', 'missed'] as const;

const options = noticeOptions(
  {
    url: address()
      .optional()
      .meta({ description: 'Asked on success; with /start behind it at the start, with /fail on failure.' }),
    start: address().optional().meta({ description: 'Asked when a run starts.' }),
    success: address()
      .optional()
      .meta({ description: 'Asked when green is live, or a run was prepared as its window says.' }),
    failure: address()
      .optional()
      .meta({ description: 'Asked when a run failed, was held for want of something, or was not made.' }),
  },
  STATES,
).refine(({ url, ...others }) => (url === undefined) === Object.keys(others).some((key) => KEYS.has(key)), {
  error: 'give either url, or those of start, success and failure that are wanted',
});
type Options = z.infer<typeof options>;

const KEYS: ReadonlySet<string> = new Set(['start', 'success', 'failure']);

/** Tells a dead man's switch, which raises the alarm by itself when it hears nothing in time. */
export const ping: Driver<Options, NotifierContext, Notifier> = {
  name: 'ping',
  summary: 'Pings of a dead man’s switch: start, success, failure',
  options,
  secrets: ['url', 'start', 'success', 'failure'],
  tokens: ['url', 'start', 'success', 'failure'],
  open(options, { resolve }) {
    const urls = urlsOf(options, resolve);
    return {
      place: `ping ${placeOf((urls.success ?? urls.failure ?? urls.start)!)}`,
      on: options.on,
      timeout: options.timeout,
      async send(notice, signal) {
        const kind = kindOf(notice);
        const url = kind && urls[kind];
        if (url !== undefined) await ask(url, { method: 'GET' }, signal);
      },
    };
  },
};

type Urls = Readonly<Partial<Record<'start' | 'success' | 'failure', string>>>;

/** What a switch is told; nothing when somebody went back by hand, for that is no run that is awaited. */
function kindOf({ event, exit }: Notice): keyof Urls | undefined {
  switch (event) {
    case 'started':
      return 'start';
    case 'switched':
      return 'success';
    case 'swapped-back':
      return exit === 0 ? undefined : 'failure';
    case 'held':
      return exit === 0 ? 'success' : 'failure';
    case 'failed':
    case 'missed':
      return 'failure';
    case 'gate':
      return undefined;
  }
}

function urlsOf({ url, start, success, failure }: Options, resolve: (text: string) => string): Urls {
  if (url === undefined) {
    const given = Object.entries({ start, success, failure }).flatMap(([key, value]) =>
      value === undefined ? [] : [[key, resolve(value)]],
    );
    return Object.fromEntries(given) as Urls;
  }
  const whole = resolve(url);
  const below = (word: string): string => {
    const parts = new URL(whole);
    parts.pathname = `${parts.pathname.replace(/\/$/, '')}/${word}`;
    return parts.href;
  };
  return { start: below('start'), success: whole, failure: below('fail') };
}
