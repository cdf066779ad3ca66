import {EigenkvError} from '../../../base/errors.js';

/** A command line that cannot be run as it was written: exit code 2. */
export class UsageError extends EigenkvError {}

/** How a command ended, for shells. */
export const exitCodes = {ok: 0, failed: 1, usage: 2, interrupted: 130} as const;
