/** What the model that comes along is called. */
export const embeddedName = 'embedded';

/** What `loadModel` takes: it knows the model that comes along by no name. */
export function pathOrHubId(model: string | undefined): string | undefined {
  return model === embeddedName ? undefined : model;
}
