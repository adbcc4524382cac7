/** A sample of a metrics document. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (-?\d+(?:\.\d+)?(?:e[-+]?\d+)?)$/;
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/;

function labelsOf(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  for (let rest = text; rest !== '';) {
    const [whole, name, value] = LABEL.exec(rest) ?? [];
    if (whole === undefined || Object.hasOwn(labels, name!)) throw new Error(`labels are wrong: ${text}`);
    labels[name!] = value!.replaceAll(/\\(.)/g, (_, sign: string) => (sign === 'n' ? '\n' : sign));
    rest = rest.slice(whole.length);
    if (rest === '' && whole.endsWith(',')) throw new Error(`a comma too many: ${text}`);
  }
  return labels;
}

/**
 * Reads an OpenMetrics document line by line and throws at the first thing that the format forbids: the order of a
 * family's lines, units, suffixes, families that are torn, samples that are there twice, and the end. Types are those
 * that the Prometheus text format has, too.
 */
export function readOpenMetrics(text: string): Sample[] {
  if (!text.endsWith('# EOF\n')) throw new Error('does not end with # EOF');
  const lines = text.slice(0, -'# EOF\n'.length).split('\n').slice(0, -1);
  const samples: Sample[] = [];
  const families = new Set<string>();
  const seen = new Set<string>();
  let family: { name: string; type: string; last: number } | undefined;
  const ORDER = ['TYPE', 'UNIT', 'HELP'];
  for (const line of lines) {
    const [, keyword, name, rest] = /^# (TYPE|UNIT|HELP) (\S+) (.+)$/.exec(line) ?? [];
    if (keyword !== undefined) {
      if (!NAME.test(name!)) throw new Error(`no name: ${line}`);
      if (keyword === 'TYPE') {
        if (families.has(name!)) throw new Error(`a family twice: ${line}`);
        if (!/^(gauge|counter)$/.test(rest!)) throw new Error(`no type of both formats: ${line}`);
        families.add(name!);
        family = { name: name!, type: rest!, last: 0 };
        continue;
      }
      if (family?.name !== name) throw new Error(`of another family: ${line}`);
      if (family!.last >= ORDER.indexOf(keyword)) throw new Error(`in the wrong order: ${line}`);
      if (keyword === 'UNIT' && !name!.endsWith(`_${rest}`))
        throw new Error(`the name lacks its unit: ${line}`);
      family!.last = ORDER.indexOf(keyword);
      continue;
    }
    const [, sample, labels = '', value] = SAMPLE.exec(line) ?? [];
    if (sample === undefined || !family) throw new Error(`no line of the format: ${JSON.stringify(line)}`);
    const wanted = family.type === 'counter' ? `${family.name}_total` : family.name;
    if (sample !== wanted) throw new Error(`of another family: ${line}`);
    if (family.type === 'gauge' && family.name.endsWith('_total'))
      throw new Error(`ends like a counter: ${line}`);
    family.last = ORDER.length;
    const one = { name: sample, labels: labelsOf(labels), value: Number(value) };
    const key = `${sample} ${Object.entries(one.labels)
      .map((pair) => pair.join('='))
      .toSorted()
      .join(' ')}`;
    if (seen.has(key)) throw new Error(`a sample twice: ${line}`);
    seen.add(key);
    samples.push(one);
  }
  return samples;
}

/** The value of the one sample with these labels among its own; undefined when there is none. */
export function valueOf(
  samples: readonly Sample[],
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  const found = samples.filter(
    (sample) =>
      sample.name === name && Object.entries(labels).every(([label, text]) => sample.labels[label] === text),
  );
  if (found.length > 1) throw new Error(`${found.length} samples of ${name}`);
  return found[0]?.value;
}
