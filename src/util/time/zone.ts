const DAY_MS = 24 * 3600 * 1000;

/**
 * Times on the clock of a place. A civil time is written as the milliseconds that it would be in UTC: arithmetic on it
 * never meets a clock change.
 */
export class Zone {
  readonly name: string;
  readonly #format: Intl.DateTimeFormat;

  constructor(name: string) {
    this.name = name;
    this.#format = new Intl.DateTimeFormat('en-US', {
      timeZone: name,
      calendar: 'gregory',
      numberingSystem: 'latn',
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
  }

  /** What the clock shows at an instant. */
  civil(instant: number): number {
    const found: Record<string, number> = {};
    for (const { type, value } of this.#format.formatToParts(instant)) found[type] = Number(value);
    const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = found;
    return Date.UTC(year, month - 1, day, hour, minute, second) + (instant % 1000);
  }

  /** Milliseconds by which the clock is ahead of UTC. */
  offset(instant: number): number {
    return this.civil(instant) - instant;
  }

  /**
   * When the clock shows a time: the first time where it is shown twice, and the moment at which the clock jumps past it
   * where it is not shown at all.
   */
  instant(civil: number): number {
    // Places have gone around the date line: their clocks jumped by a whole day.
    const before = this.offset(civil - 1.5 * DAY_MS);
    const after = this.offset(civil + 1.5 * DAY_MS);
    const shown = [civil - before, civil - after].filter((each) => this.civil(each) === civil);
    return shown.length > 0 ? Math.min(...shown) : this.#jump(civil - after, civil - before);
  }

  /** The first instant after a jump of the clock between two instants, to the second. */
  #jump(before: number, after: number): number {
    const target = this.offset(after);
    let [low, high] = [before, after];
    while (high - low > 1000) {
      const middle = low + Math.floor((high - low) / 2000) * 1000;
      if (this.offset(middle) === target) high = middle;
      else low = middle;
    }
    return high;
  }
}
