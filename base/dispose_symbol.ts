/**
 * The key of the method that `using` calls at the end of its block. In browsers without `Symbol.dispose` it is the symbol that
 * esbuild and Vite put in its place when they compile `using`; `[Symbol.dispose]` itself would be a method named "undefined" there.
 */
export const disposeSymbol: typeof Symbol.dispose = 'dispose' in Symbol ? Symbol.dispose : standIn();

function standIn(): typeof Symbol.dispose {
  return Symbol.for('Symbol.dispose') as typeof Symbol.dispose; // types know it as one symbol under one name
}
