export type { Plan } from './core/plan.ts';
