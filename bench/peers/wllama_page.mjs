// What runs in the page of bench/peers/wllama.ts: llama.cpp compiled to WebAssembly, one engine for each type of cache, a token at a time.

const {Wllama} = await import(new URL('/wllama/index.js', globalThis.location.href).href);
const model = await (await globalThis.fetch('/model.gguf')).blob();
const engines = [];

/** Opens the model with a type of cache; its number is its place in the order of the calls. */
globalThis.openEngine = async (cacheType, contextSize) => {
  const wllama = new Wllama({default: '/wllama/wasm/wllama.wasm'}, {suppressNativeLog: true});
  await wllama.loadModel([model], {
    n_ctx: contextSize,
    n_threads: 1,
    n_gpu_layers: 0,
    n_parallel: 1,
    flash_attn: true,
    cache_type_k: cacheType,
    cache_type_v: cacheType,
  });
  engines.push({wllama, request: undefined});
};

/** Reads a text, of which it keeps what it has already, and makes the first token after it. */
globalThis.fillEngine = async (number, text) => {
  const engine = engines[number];
  // the public methods generate ahead of who reads; the messages below them make a token when asked
  const act = (name, message) => engine.wllama.proxy.wllamaAction(name, message);
  if (engine.request !== undefined) await act('cancel', {_name: 'cncl_req', req_id: engine.request});
  const settings = {
    prompt: text,
    stream: true,
    temperature: 0,
    ignore_eos: true,
    cache_prompt: true,
    n_predict: 4096,
  };
  const started = await act('completion', {
    ...{_name: 'cmpl_req', is_chat: false, is_asr: false, files: []},
    data_json: JSON.stringify(settings),
  });
  engine.request = started.req_id;
  await globalThis.stepEngine(number);
};

/** Makes a token. */
globalThis.stepEngine = async number => {
  const {wllama, request} = engines[number];
  for (;;) {
    const result = await wllama.proxy.wllamaAction('get_result', {_name: 'gres_req', req_id: request});
    if (result.is_error || !result.has_more) throw new Error(`wllama stopped: ${result.data_json}`);
    if (result.data_json !== '' && result.data_json !== 'null') return;
  }
};

globalThis.isReady = true;
