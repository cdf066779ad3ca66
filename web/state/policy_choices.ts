/** What the list of policies offers. Budgets and groups are small, as the texts of this page are. */
export interface PolicyChoice {
  /** As on the command line. */
  readonly policy: string;
  readonly title: string;
}

export interface PolicyGroup {
  readonly title: string;
  readonly choices: readonly PolicyChoice[];
}

export const policyGroups: readonly PolicyGroup[] = [
  {title: 'Everything', choices: [{policy: 'full', title: 'full cache, float32'}]},
  {
    title: 'Fewer bits',
    choices: [
      {policy: 'transform:bits=2', title: 'bits where the loss wants them, 2'},
      {policy: 'transform:bits=1', title: 'bits where the loss wants them, 1'},
      {policy: 'quantized:groupSize=32', title: '8-bit codes'},
      {policy: 'quantized:bits=4,groupSize=32', title: '4-bit codes'},
      {policy: 'quantized:bits=3,groupSize=32', title: '3-bit codes'},
      {policy: 'quantized:bits=2,groupSize=32', title: '2-bit codes'},
      {policy: 'float8', title: '8-bit floats (E4M3)'},
      {policy: 'adaptive', title: 'adaptive bits'},
    ],
  },
  {
    title: 'Fewer dimensions',
    choices: [
      {policy: 'layered:longTermBits=4,rankOf=keys,shortTermSize=16', title: 'low-rank keys, 4 bits'},
      {policy: 'layered:longTermRank=16,shortTermSize=16', title: 'rank 16, newest exact'},
      {policy: 'onlineSvd:rank=32', title: 'rank 32, all tokens'},
    ],
  },
  {
    title: 'Fewer tokens',
    choices: [
      {policy: 'h2o:heavyBudget=48,recentBudget=48', title: 'heavy hitters (H2O), 96 tokens'},
      {policy: 'sliding:window=92,sinks=4', title: 'sinks and window, 96 tokens'},
      {policy: 'lru:maxCacheSize=96', title: 'least recently used, 96 tokens'},
      {policy: 'lfu:maxCacheSize=96', title: 'least frequently used, 96 tokens'},
      {policy: 'mixed:budget=12kB', title: 'bits first, then tokens, 12 kB per depth'},
    ],
  },
];

export const policyChoices: readonly PolicyChoice[] = policyGroups.flatMap(({choices}) => choices);

/** The name before the options. */
export function nameOf(policy: string): string {
  return policy.split(':', 1)[0]!;
}

/** The names of all policies that the list offers. */
export const offeredNames: readonly string[] = [...new Set(policyChoices.map(({policy}) => nameOf(policy)))];
