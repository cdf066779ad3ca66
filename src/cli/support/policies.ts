import type {Plan} from '../../../cache/plan.js';
import {planFromJson} from '../../../cache/plans/index.js';
import type {Policy} from '../../../cache/policy.js';
import {makePolicy, parsePolicy, policyNames} from '../../../cache/registry.js';
import {FormatError} from '../../../ops/errors.js';
import {readText} from './read_text.js';

/**
 * What `--policy` values stand for: `name`, `name:option=value,option=value`, a plan in a file, `all` registered policies
 * at their defaults. Default: `quantized`.
 */
export async function readPolicies(texts: readonly string[]): Promise<(Plan | Policy)[]> {
  const listed = await Promise.all((texts.length === 0 ? ['quantized'] : texts).map(readPolicy));
  return listed.flat();
}

async function readPolicy(text: string): Promise<(Plan | Policy)[]> {
  if (text === 'all') return policyNames().map(name => makePolicy({name}));
  return [text.endsWith('.json') ? await readPlan(text) : parsePolicy(text)];
}

async function readPlan(path: string): Promise<Plan> {
  const text = new TextDecoder().decode(await readText(path));
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new FormatError(`The plan ${path} is not JSON; write it as plan.toJSON() gives it.`, {cause});
  }
  return planFromJson(json);
}
