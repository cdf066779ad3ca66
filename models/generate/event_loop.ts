/**
 * Resolves after events that are waiting (a click, ctrl-C, an abort) were handled. `await data()` alone never lets them
 * in on the wasm and cpu backends, a timer would cost a millisecond or four, and a frame never comes in a hidden tab.
 */
export function waitingEvents(): Promise<void> {
  return new Promise(resolve => {
    if (typeof setImmediate === 'function') {
      setImmediate(resolve);
      return;
    }
    const {port1, port2} = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(undefined);
  });
}
