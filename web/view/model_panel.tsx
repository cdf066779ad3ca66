import {count, counted} from '../../base/units.js';
import type {BrowserBackend} from '../engine/protocol.js';
import {backends} from '../state/settings.js';
import type {PartProps} from './props.js';

const backendTitles: Readonly<Record<BrowserBackend, string>> = {
  wasm: 'wasm: the processor',
  webgpu: 'webgpu: the GPU',
  webgl: 'webgl: the GPU, no integer codes',
};

/** Which model runs, and where. */
export function ModelPanel({playground, state}: PartProps) {
  const {model, running, settings, file} = state;
  const isLoading = running?.task === 'load';
  return (
    <section class="panel model" aria-labelledby="model-title">
      <h2 id="model-title">Model</h2>
      <p class="facts" data-testid="model">
        {model === undefined ? (
          <span class="muted">none yet</span>
        ) : (
          <>
            <strong>{model.name}</strong>{' '}
            <span class="muted">
              {millions(model.parameters)} parameters, {model.depths} depths, {model.kvHeads} key heads of{' '}
              {model.headDim}, context {count(model.contextLength)} tokens
              {model.backend === 'wasm' && `; ${counted(model.threads, 'thread')}`}
            </span>
          </>
        )}
      </p>
      {isLoading && <LoadProgress {...running} />}
      <div class="fields">
        <label class="button">
          <input
            type="file"
            accept=".gguf"
            class="hidden"
            onChange={({currentTarget}) => {
              const [chosen] = currentTarget.files ?? [];
              currentTarget.value = ''; // so that the same file may be chosen again
              if (chosen) playground.load(settings.backend, chosen);
            }}
          />
          Open a .gguf, or drop it here
        </label>
        {file && (
          <button type="button" class="quiet" onClick={() => playground.load(settings.backend, null)}>
            Back to the embedded model
          </button>
        )}
        <label class="field">
          <span>Backend</span>
          <select
            value={settings.backend}
            onChange={({currentTarget}) => {
              const backend = backends.find(name => name === currentTarget.value);
              if (backend) playground.load(backend);
            }}
          >
            {backends.map(backend => (
              <option key={backend} value={backend}>
                {backendTitles[backend]}
              </option>
            ))}
          </select>
        </label>
      </div>
    </section>
  );
}

function LoadProgress({done, total}: {readonly done: number; readonly total: number}) {
  return (
    <p class="loading">
      <progress aria-label="Loading" {...(total > 0 && {value: done, max: total})} />{' '}
      <span class="muted">
        {total > 0 ? `loading weights, ${Math.floor((100 * done) / total)} %` : 'starting'}
      </span>
    </p>
  );
}

function millions(parameters: number): string {
  return `${(parameters / 1e6).toLocaleString('en-US', {maximumFractionDigits: 1})} M`;
}
