import type { Finding } from '../core/drivers/check.ts';

/** Control characters cannot be in XML at all. */
// oxlint-disable-next-line no-control-regex
const FORBIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g;

const escaped = (text: string): string =>
  text
    .replaceAll(FORBIDDEN, '\ufffd')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');

/** Findings as JUnit XML, which build servers show: one test case each, and what is not proved is a failure. */
export function junitText(name: string, findings: readonly Finding[], ms: number): string {
  const cases = findings.filter(({ severity }) => severity !== 'note');
  const broken = cases.filter(({ severity }) => severity === 'failure' || severity === 'unknown');
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuite name="${escaped(name)}" tests="${cases.length}" failures="${broken.length}" errors="0" time="${(ms / 1000).toFixed(3)}">`,
    ...cases.map((finding) => {
      const open = `  <testcase classname="${escaped(finding.check)}" name="${escaped(finding.message)}"`;
      if (!broken.includes(finding)) return `${open}/>`;
      const text = [finding.detail, finding.hint].filter((part) => part !== undefined).join('\n');
      return `${open}><failure message="${escaped(finding.message)}" type="${finding.severity}">${escaped(text)}</failure></testcase>`;
    }),
    '</testsuite>',
    '',
  ].join('\n');
}
