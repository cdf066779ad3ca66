import {render} from 'preact';
import {Playground} from './playground.js';
import {App} from './view/app.js';

render(<App playground={new Playground()} />, document.getElementById('playground')!);
