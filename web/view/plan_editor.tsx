import {count} from '../../base/units.js';
import {againstFloat32} from './against_float32.js';
import {BandRow} from './band_row.js';
import {LayerStack} from './layer_stack.js';
import type {PartProps} from './props.js';
import {planTotals} from './plan_totals.js';

/** Which policy at which depth: the stack with its edges to drag, and a row for each band. */
export function PlanEditor({playground, state}: PartProps) {
  const {settings, model, refused} = state;
  const totals = refused === undefined ? planTotals(state) : undefined;
  const against = totals && againstFloat32(totals.bytes, totals.float32Bytes);
  return (
    <section class="panel plan" aria-labelledby="plan-title">
      <h2 id="plan-title">Plan by depth</h2>
      <p class="muted small">Drag the edges between the bands, or move them with the arrow keys.</p>
      {model && <LayerStack playground={playground} state={state} />}
      <p class="total" data-testid="plan-total" aria-live="polite">
        {totals && against ? (
          <>
            <strong>{against.times}</strong>{' '}
            <span class="muted">
              {against.rest} at {count(totals.tokens)} tokens
            </span>
          </>
        ) : (
          <span class="muted">no size yet</span>
        )}
      </p>
      <ol class="bands">
        {settings.bands.map((_, index) => (
          <BandRow key={index} index={index} playground={playground} state={state} />
        ))}
      </ol>
    </section>
  );
}
