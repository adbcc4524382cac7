/** `20261120-234205` in UTC: sorts by time. */
export const compactTime = (date: Date): string =>
  date.toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');
