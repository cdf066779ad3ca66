import type {Playground} from '../playground.js';
import type {PageState} from '../state/page_state.js';

/** What every part of the page gets. */
export interface PartProps {
  readonly playground: Playground;
  readonly state: PageState;
}
