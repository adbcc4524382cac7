/** What a step of a plan can be. */
export type StepKind =
  | 'preflight'
  | 'publish'
  | 'fence'
  | 'clone'
  | 'migrate'
  | 'sync'
  | 'verify'
  | 'gate'
  | 'switch'
  | 'keep'
  | 'bake'
  | 'hook';
