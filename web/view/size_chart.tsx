import {byteSize, count} from '../../base/units.js';

interface SizeChartProps {
  /** Bytes after the prompt and after each token. */
  readonly full: readonly number[];
  readonly plan: readonly number[];
  readonly promptTokens: number;
}

const [width, height, left, bottom] = [640, 120, 62, 18];

/** How both caches grow: bytes from 0 against tokens. */
export function SizeChart({full, plan, promptTokens}: SizeChartProps) {
  const steps = Math.max(full.length, plan.length, 2);
  const most = Math.max(...full, ...plan, 1);
  const x = (index: number) => left + ((width - left - 8) * index) / (steps - 1);
  const y = (bytes: number) => height - bottom - ((height - bottom - 10) * bytes) / most;
  const line = (bytes: readonly number[]) =>
    bytes.map((value, index) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`).join(' ');
  return (
    <figure class="chart">
      <figcaption class="small">
        Bytes of the cache as tokens are written: <span class="key-full">full cache</span>,{' '}
        <span class="key-plan">your plan</span>
      </figcaption>
      <svg
        viewBox={`0 0 ${width} ${height}`}
        role="img"
        aria-label={`From ${byteSize(full[0] ?? 0)} to ${byteSize(full.at(-1) ?? 0)} with the full cache, from ${byteSize(plan[0] ?? 0)} to ${byteSize(plan.at(-1) ?? 0)} with your plan.`}
      >
        {[0, 0.5, 1].map(share => (
          <g key={share}>
            <line class="grid" x1={left} x2={width - 8} y1={y(share * most)} y2={y(share * most)} />
            <text x={left - 6} y={y(share * most) + 4} text-anchor="end">
              {share === 0 ? '0' : byteSize(share * most)}
            </text>
          </g>
        ))}
        <text x={left} y={height - 3}>
          {count(promptTokens)} tokens
        </text>
        <text x={width - 8} y={height - 3} text-anchor="end">
          {count(promptTokens + steps - 1)}
        </text>
        <polyline class="line-full" points={line(full)} />
        <polyline class="line-plan" points={line(plan)} />
      </svg>
    </figure>
  );
}
