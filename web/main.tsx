import {render} from 'preact';
import {isolate} from './isolation.js';
import {Playground} from './playground.js';
import {App} from './view/app.js';

void isolate().then(() => {
  render(<App playground={new Playground()} />, document.getElementById('playground')!);
});
