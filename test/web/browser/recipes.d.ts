/** The recipe of docs/SNAPSHOTS.md that contains `*`, served by snapshots.browser.ts. */
declare module 'recipe:*.ts' {
  export const store: import('../../../cache/stores/store.js').ByteStore;
}
