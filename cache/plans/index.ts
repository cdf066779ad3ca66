/** Plans: which policy each depth has. */
export {type PlanLike, asPlan} from './as_plan.js';
export {bandOf, bands, type BandsOptions} from './bands.js';
export {budget} from './budget.js';
export type {BudgetSize, RatioBudget, TextBudget, TokenBudget} from './budget_size.js';
export {perDepth} from './per_depth.js';
export {scenario, type ScenarioName, scenarioNames} from './scenario.js';
export {uniform} from './uniform.js';
