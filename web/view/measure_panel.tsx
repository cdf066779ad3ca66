import {count} from '../../base/units.js';
import {HeatMaps} from './heat_maps.js';
import {MeasureTable} from './measure_table.js';
import type {PartProps} from './props.js';

/** A text of the visitor's measured with both caches: how well it is predicted, and how its keys and values lie. */
export function MeasurePanel({playground, state}: PartProps) {
  const {text, running, measurement, settings, model, refused} = state;
  const isMeasuring = running?.task === 'measure';
  const cannotRun = model === undefined || running?.task === 'load' || refused !== undefined;
  return (
    <section class="panel" aria-labelledby="measure-title">
      <h2 id="measure-title">Measure a text</h2>
      <div class="measure">
        <div>
          <label class="field wide">
            <span>Text</span>
            <textarea
              rows={9}
              value={text}
              onInput={({currentTarget}) => playground.changeText(currentTarget.value)}
            />
          </label>
          <div class="fields">
            <button
              type="button"
              disabled={cannotRun || text.trim() === ''}
              onClick={() => playground.measure()}
            >
              Measure
            </button>
            {isMeasuring && (
              <progress
                aria-label="Measuring"
                {...(running.total > 0 && {value: running.done, max: running.total})}
              />
            )}
            {measurement && !isMeasuring && (
              <span class="muted small" data-testid="measured-tokens">
                {count(measurement.tokens)} tokens
                {measurement.textTokens > measurement.tokens &&
                  `, the first of ${count(measurement.textTokens)}`}
                {measurement.bands !== settings.bands && '; of the former plan'}
              </span>
            )}
          </div>
        </div>
        <div class={measurement && measurement.bands !== settings.bands ? 'old' : undefined}>
          {measurement && <MeasureTable {...measurement} />}
        </div>
      </div>
      {measurement && model && (
        <div class={measurement.bands === settings.bands ? undefined : 'old'}>
          <HeatMaps measurement={measurement} model={model} />
        </div>
      )}
    </section>
  );
}
