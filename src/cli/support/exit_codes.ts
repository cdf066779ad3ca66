/** How a command ended, for shells. */
export const exitCodes = {ok: 0, failed: 1, usage: 2, interrupted: 130} as const;
