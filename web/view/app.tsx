import {useEffect, useState} from 'preact/hooks';
import type {Playground} from '../playground.js';
import {Comparison} from './comparison.js';
import {DropTarget} from './drop_target.js';
import {Header} from './header.js';
import {MeasurePanel} from './measure_panel.js';
import {ModelPanel} from './model_panel.js';
import {Notes} from './notes.js';
import {PlanEditor} from './plan_editor.js';
import {PromptForm} from './prompt_form.js';

/** The page: drawn again at each change of its state, at most once a frame. */
export function App({playground}: {playground: Playground}) {
  const [state, setState] = useState(playground.state);
  useEffect(() => {
    const unsubscribe = playground.subscribe(() => setState(playground.state));
    setState(playground.state);
    return unsubscribe;
  }, [playground]);
  return (
    <DropTarget onFile={file => playground.load(state.settings.backend, file)}>
      <Header />
      <main>
        <ModelPanel playground={playground} state={state} />
        <Notes playground={playground} state={state} />
        <div class="work">
          <PlanEditor playground={playground} state={state} />
          <section class="panel" aria-labelledby="writing-title">
            <h2 id="writing-title">Write with both</h2>
            <PromptForm playground={playground} state={state} />
            <Comparison state={state} />
          </section>
        </div>
        <MeasurePanel playground={playground} state={state} />
      </main>
      <footer>
        Everything runs in this tab; no text leaves it. Sizes are true bytes of keys and values, with scales,
        positions and spare room; "smaller" is against the same keys and values in float32.
      </footer>
    </DropTarget>
  );
}
