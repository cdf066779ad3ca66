import {EigenkvError} from '../../../base/errors.js';

/** A command line that cannot be run as it was written: exit code 2. */
export class UsageError extends EigenkvError {}
