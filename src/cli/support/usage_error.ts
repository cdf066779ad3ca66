import {EigenkvError} from '../../../base/errors.js';

/** A wrong command line: exit code 2. */
export class UsageError extends EigenkvError {}

/** Exit codes of the command line. */
export const exitCodes = {ok: 0, failed: 1, usage: 2, interrupted: 130} as const;
