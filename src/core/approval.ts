/** What was approved, part by part: what of it has changed since can be told in words. */
export interface Approved {
  /** SHA-256 of the playbook's text. */
  readonly playbook: string;
  /** A hash of what stands under each key, references to other things than secrets resolved. */
  readonly settings: Readonly<Record<string, string>>;
  /** SHA-256 of every migration file, by migrator and path. */
  readonly migrations: Readonly<Record<string, string>>;
  readonly schema: {
    /** Of blue's whole schema. */
    readonly fingerprint: string;
    /** A hash of each object, by kind and name. */
    readonly objects: Readonly<Record<string, string>>;
  };
  /** Databases by name, and servers by their `system_identifier`. */
  readonly places: Readonly<Record<string, string>>;
  /** Of the tool: another one may make another plan. */
  readonly version: string;
  /** What the preflight warned of. */
  readonly warnings: readonly string[];
}

/** Somebody's word, given beforehand, that a run of a playbook may be made. */
export interface Approval {
  readonly format: 1;
  readonly id: string;
  /** Of the playbook. */
  readonly name: string;
  /** User and host of who gave it. */
  readonly by: string;
  /** ISO 8601, both. */
  readonly at: string;
  readonly until: string;
  readonly approved: Approved;
  /** SHA-256 over everything above. */
  readonly digest: string;
  /** HMAC-SHA256 over the digest, where there was a key. */
  readonly signature?: string;
}

/** The approval that a run was made under, as its journal has it. */
export interface RunApproval extends Pick<Approval, 'id' | 'by' | 'at' | 'until'> {
  /** Whether its signature was held against a key. */
  readonly signed: boolean;
}

/** Whether an unattended run needs an approval. */
export type ApprovalMode = 'none' | 'required' | 'on-warnings';
