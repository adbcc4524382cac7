import { z } from 'zod';
import { NOTICE_STATES, type NoticeState } from '../../core/drivers/notice.ts';
import { duration } from '../../util/options.ts';

const LONGEST_MS = 5 * 60_000;

/** The options of a notice: its own, and those of every one; `states` are those that it can be told of. */
export const noticeOptions = <Shape extends z.core.$ZodLooseShape>(
  shape: Shape,
  states: readonly NoticeState[] = NOTICE_STATES,
) =>
  z.strictObject({
    ...shape,
    on: z
      .array(z.enum(states))
      .min(1)
      .prefault([...states])
      .meta({ description: 'The states that it is told of; all that apply unless given.' }),
    timeout: duration()
      .refine((ms) => ms > 0 && ms <= LONGEST_MS, { error: 'must be more than nothing, and at most 5m' })
      .prefault('10s')
      .meta({ description: 'How long one attempt may take.' }),
  });
