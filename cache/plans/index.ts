/** Where policies go. */
export {bandOf, bands, type BandsOptions} from './bands.js';
export {asPlan, planFromJson} from './from_json.js';
export {perDepth} from './per_depth.js';
export {scenario, type ScenarioName, scenarioNames} from './scenario.js';
export {uniform} from './uniform.js';
