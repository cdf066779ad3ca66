"""Guides some heads to look back while the model learns: a loss on where they attend.

Heads that look back form late: until one head attends to the token before, another gains nothing by attending to what followed the same
token earlier, and the reverse. This model reads too few tokens to find both by chance, so it is shown.
"""

import jax.numpy as jnp

import model

# depth -> heads. Those that attend to the token before stand in three depths, so that a token knows a few before it (a name may take
# several); those that attend to what followed the same tokens earlier stand above them.
BEFORE = {1: [0], 2: [0, 2], 3: [0]}
EARLIER = {4: [0, 2], 5: [1], 6: [0, 2]}
HEADS = sum(len(heads) for of in (BEFORE, EARLIER) for heads in of.values())
LEAST = 1e-5  # shares of the attention below this have nearly the same loss


def token_losses(params, windows, same, known, config):
    """Returns the losses of the tokens, in nats, [batch, tokens], and the mean of -ln(the share of attention at its due place) over heads
    and queries.

    windows: int [batch, tokens + 1]. same: of the same shape; tokens with the same number, if not 0, are copies of each other.
    known: [batch, tokens], whether a reader of the window can know the next token.
    """
    batch, tokens = known.shape
    guided = []

    def watch(depth, start, weights):
        rows, stop = weights.shape[-2:]
        weights = weights.reshape(batch, config["num_attention_heads"], rows, stop)
        queries, keys = jnp.arange(start, start + rows)[:, None], jnp.arange(stop)[None, :]
        before = jnp.broadcast_to(keys == queries - 1, (batch, rows, stop))
        earlier = (same[:, start + 1 : start + rows + 1, None] == same[:, None, :stop]) & (keys <= queries)
        for heads, due, counts, of_all in [
            (BEFORE, before, queries[:, 0] > 0, batch * tokens),
            (EARLIER, earlier, known[:, start : start + rows], jnp.maximum(1, known.sum())),
        ]:
            for head in heads.get(depth, []):
                share = jnp.where(due, weights[:, head], 0).sum(-1)
                guided.append(-(counts * jnp.log(share + LEAST)).sum() / of_all)

    logits = model.forward(params, windows[:, :-1], config, watch)
    return model.losses_of(logits, windows), sum(guided) / HEADS
