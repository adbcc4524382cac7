/** What a step of a plan can be. */
export type StepKind =
  | 'preflight'
  | 'fence'
  | 'clone'
  | 'migrate'
  | 'verify'
  | 'gate'
  | 'switch'
  | 'keep'
  | 'hook';
