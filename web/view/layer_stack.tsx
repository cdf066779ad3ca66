import {useRef} from 'preact/hooks';
import {bandOfDepth, depthsOf, edgeRange, moveEdge, startsOf} from '../state/bands.js';
import {bandLetter} from './band_letter.js';
import {depthSizes} from './plan_totals.js';
import type {PartProps} from './props.js';

/** The depths from the first (top) to the last, each with what its cache stores as a share of float32, and the bands' edges. */
export function LayerStack({playground, state}: PartProps) {
  const {bands} = state.settings;
  const stack = useRef<HTMLDivElement>(null);
  const sizes = depthSizes(state);
  const depths = depthsOf(bands);
  const bandOf = bandOfDepth(bands);
  const starts = startsOf(bands);
  return (
    <div class="stack-frame">
      <div class="stack-axis muted small" aria-hidden="true">
        <span>depth</span>
        <span>bytes, of float32</span>
      </div>
      <div class={depths > 16 ? 'stack dense' : 'stack'} ref={stack} data-testid="stack">
        {bandOf.map((band, depth) => {
          const size = sizes?.[depth];
          const share = size && size.float32Bytes > 0 ? size.bytes / size.float32Bytes : undefined;
          return (
            <div key={depth} class={band % 2 === 0 ? 'depth' : 'depth odd'}>
              <span class="rail" aria-hidden="true">
                {starts[band] === depth ? bandLetter(band) : ''}
              </span>
              <span class="index">{depth}</span>
              <span class="bar" aria-hidden="true">
                <span style={{width: `${100 * Math.min(1, share ?? 0)}%`}} />
              </span>
              <span class="share">{share === undefined ? '' : `${Math.round(100 * share)} %`}</span>
            </div>
          );
        })}
        {bands.slice(1).map((_, edge) => (
          <Edge
            key={edge}
            at={starts[edge + 1]!}
            depths={depths}
            range={edgeRange(bands, edge)}
            names={[bandLetter(edge), bandLetter(edge + 1)]}
            frame={() => stack.current!.getBoundingClientRect()}
            onMove={to => {
              const moved = moveEdge(bands, edge, to);
              if (moved[edge]!.depths !== bands[edge]!.depths) playground.changeBands(moved);
            }}
          />
        ))}
      </div>
    </div>
  );
}

interface EdgeProps {
  /** The depth below the edge. */
  readonly at: number;
  readonly depths: number;
  readonly range: {readonly least: number; readonly most: number};
  readonly names: readonly [string, string];
  readonly frame: () => DOMRect;
  readonly onMove: (to: number) => void;
}

/** The edge between two bands: a splitter of the WAI-ARIA practices, for pointers and arrow keys. */
function Edge({at, depths, range: {least, most}, names: [above, below], frame, onMove}: EdgeProps) {
  return (
    <div
      class="edge"
      role="separator"
      tabIndex={0}
      aria-orientation="horizontal"
      aria-label={`Edge between bands ${above} and ${below}`}
      aria-valuemin={least}
      aria-valuemax={most}
      aria-valuenow={at}
      aria-valuetext={`band ${below} begins at depth ${at}`}
      style={{top: `${(100 * at) / depths}%`}}
      onPointerDown={event => {
        event.currentTarget.setPointerCapture(event.pointerId);
      }}
      onPointerMove={event => {
        if (!event.currentTarget.hasPointerCapture(event.pointerId)) return;
        const {top, height} = frame();
        onMove(((event.clientY - top) / height) * depths);
      }}
      onKeyDown={event => {
        const to = {
          ArrowDown: at + 1,
          ArrowRight: at + 1,
          ArrowUp: at - 1,
          ArrowLeft: at - 1,
          Home: least,
          End: most,
        }[event.key];
        if (to === undefined) return;
        event.preventDefault();
        onMove(to);
      }}
    >
      <span class="grip" />
    </div>
  );
}
