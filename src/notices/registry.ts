import type { Registry } from '../core/drivers/driver.ts';
import type { Notifier, NotifierContext } from '../core/drivers/notice.ts';
import { command } from './command.ts';
import { email } from './email.ts';
import { ping } from './ping.ts';
import { webhook } from './webhook.ts';

export const notices: Registry<NotifierContext, Notifier> = { webhook, command, email, ping };
