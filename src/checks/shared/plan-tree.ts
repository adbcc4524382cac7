import type { Path } from '../../core/database/catalog.ts';

/** What of a plan tells whether it became another one. */
export interface PlanFacts {
  /** The planner's own unit. */
  readonly cost: number;
  /** Tables that are read from one end to the other. */
  readonly sequential: readonly Path[];
  /** Names of indexes that are used. */
  readonly indexes: readonly string[];
}

interface Node {
  readonly 'Node Type'?: string;
  readonly Schema?: string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly 'Total Cost'?: number;
  readonly Plans?: readonly Node[];
}

/** Reads what EXPLAIN (FORMAT JSON, VERBOSE) has written. */
export function readPlan(json: string): PlanFacts {
  const [{ Plan: root }] = JSON.parse(json) as [{ Plan: Node }];
  const nodes: Node[] = [];
  const visit = (node: Node): void => {
    nodes.push(node);
    for (const child of node.Plans ?? []) visit(child);
  };
  visit(root);
  return {
    cost: root['Total Cost'] ?? 0,
    sequential: nodes.flatMap((node) =>
      node['Node Type'] === 'Seq Scan' && node['Relation Name'] !== undefined
        ? [[node.Schema ?? '', node['Relation Name']]]
        : [],
    ),
    indexes: [...new Set(nodes.flatMap((node) => node['Index Name'] ?? []))],
  };
}
