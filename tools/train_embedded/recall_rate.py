"""How much a model recalls: by the distance to where something was last said, the share of values that it writes exactly, of tokens that it
predicts in passages that come again, and its loss on both. The names, words and values were kept out of the training."""

import jax
import jax.numpy as jnp
import numpy as np

import model

DISTANCES = [32, 64, 128, 256, 512, 1024]
SEED = 7


def recall_rates(params, config, recalled, length, count, batch=4):
    """recalled: a Recall with held_out=True. count: windows of length + 1 ids. Yields (kind, distance up to, spans, share right, nats)."""

    @jax.jit
    def predicted(params, ids):
        logits = model.forward(params, ids[:, :-1], config)
        return model.losses_of(logits, ids), logits.argmax(-1)

    random, found = np.random.default_rng(SEED), {}
    for _ in range(0, count, batch):
        windows = [recalled.window(random, length) for _ in range(batch)]
        ids = np.array([window.ids[: length + 1] for window in windows], np.int32)
        losses, best = map(np.asarray, predicted(params, jnp.asarray(ids)))
        for row, window in enumerate(windows):
            for kind, start, stop, distance in window.spans:
                if start < stop <= length + 1:
                    span = slice(start - 1, stop - 1)  # the token before a token predicts it
                    right = best[row, span] == ids[row, start:stop]
                    place = next(d for d in DISTANCES if distance <= d)
                    of = found.setdefault((kind, place), [])
                    of.append((right.all() if kind == "record" else right.mean(), losses[row, span].mean()))
    for (kind, place), of in sorted(found.items()):
        yield kind, place, len(of), *np.mean(of, 0)
