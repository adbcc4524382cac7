/** Time of day for people, `14:03:07`, in the process's time zone. */
export const timeOfDay = (date: Date): string => date.toTimeString().slice(0, 8);

/** `20261120-234205` in UTC: sorts by time. */
export const compactTime = (date: Date): string =>
  date.toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');
