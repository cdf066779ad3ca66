/** Plans: which policy each depth has. */
export {type PlanLike, asPlan} from './as_plan.js';
export {bandOf, bands, type BandsOptions} from './bands.js';
export {type BudgetSize, type RatioBudget, type TextBudget, type TokenBudget, budget} from './budget.js';
export {perDepth} from './per_depth.js';
export {scenario, type ScenarioName, scenarioNames} from './scenario.js';
export {uniform} from './uniform.js';
