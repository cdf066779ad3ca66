"""Small models of Keras' own attention layers, exported for tfjs, with Keras' outputs beside them.

    pip install -r requirements.txt && pip install --no-deps -r converter.txt
    python main.py 2 && python main.py 3     # into test/golden/keras/NAME, of each version of Keras

Every weight is a random number, so that each changes the outputs. golden.json holds inputs of a batch and Keras' output.
"""
import json
import os
import sys
import types
from pathlib import Path

version = int(sys.argv[1])
os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'
os.environ['KERAS_BACKEND'] = 'tensorflow'
os.environ['TF_USE_LEGACY_KERAS'] = '1' if version == 2 else '0'
sys.modules['tensorflow_decision_forests'] = types.ModuleType('tensorflow_decision_forests')  # the converter imports it

import numpy as np
import tensorflowjs as tfjs

if version == 2:
    import tf_keras as keras
else:
    import keras

layers = keras.layers
out = Path(__file__).parents[2] / 'test/golden/keras'
dim, vocab = 12, 20
texts = np.array([[3, 17, 5, 9, 12, 8, 1], [7, 7, 2, 19, 4, 1, 11]], dtype='int32')
padded = np.array([[3, 17, 5, 9, 12, 0, 0], [0, 0, 2, 19, 4, 1, 11]], dtype='int32')
sources = np.array([[4, 9, 2, 0, 0], [15, 3, 8, 1, 6]], dtype='int32')


def mha(name, **args):
    return layers.MultiHeadAttention(3, 4, name=name, **args)


def gqa(name, **args):
    return layers.GroupQueryAttention(3, 4, 2, name=name, **args)


def ids(name='ids'):
    return keras.Input((None,), dtype='int32', name=name)


def norm(x, name):
    return layers.LayerNormalization(name=name)(x)


def feed(x, name):
    return layers.Dense(dim, name=f'{name}_down')(layers.Dense(16, activation='gelu', name=f'{name}_up')(x))


def before(attention, mask_zero=False, depths=2):
    """Norms before attention, as in GPT-2."""
    given = ids()
    x = layers.Embedding(vocab, dim, mask_zero=mask_zero, name='tok')(given)
    for i in range(depths):
        h = norm(x, f'norm_{i}_a')
        x = layers.Add()([x, attention(f'att_{i}')(h, h, use_causal_mask=True)])
        x = layers.Add()([x, feed(norm(x, f'norm_{i}_b'), f'feed_{i}')])
    return keras.Model(given, layers.Dense(vocab, name='head')(x)), [padded if mask_zero else texts]


def after(attention):
    """Norms after attention, masks: from the second block on Keras 3 has lost them."""
    given = ids()
    x = layers.Embedding(vocab, dim, mask_zero=True, name='tok')(given)
    for i in range(2):
        x = norm(layers.Add()([x, attention(f'att_{i}')(x, x, use_causal_mask=True)]), f'norm_{i}_a')
        x = norm(layers.Add()([x, feed(x, f'feed_{i}')]), f'norm_{i}_b')
    return keras.Model(given, layers.Dense(vocab, name='head')(x)), [padded]


def sums():
    """Masks and sums with a tensor that has none: Keras 2 keeps them, Keras 3 does not; operators never do."""
    given, vectors = ids(), keras.Input((None, dim), name='vectors')
    x = layers.Embedding(vocab, dim, mask_zero=True, name='tok')(given)
    x = layers.Add()([x, layers.Dense(dim, name='dense')(vectors)])
    x = layers.Add()([x, mha('att_0')(x, x)])
    x = 2.0 * x - mha('att_1')(x, x) / 4.0
    x = x + mha('att_2')(x, x)
    rng = np.random.default_rng(3)
    return keras.Model([given, vectors], x), [padded, rng.normal(size=(2, 7, dim)).astype('float32').round(3)]


def translation():
    """An encoder and a decoder, both with padding, and two layers that attend to the encoder's output."""
    source, target = ids('source'), ids('target')
    encoded = layers.Embedding(vocab, dim, mask_zero=True, name='tok_source')(source)
    h = norm(encoded, 'norm_source')
    encoded = layers.Add()([encoded, mha('att_source')(h, h)])
    x = layers.Embedding(vocab, dim, mask_zero=True, name='tok_target')(target)
    for i in range(2):
        h = norm(x, f'norm_{i}_a')
        x = layers.Add()([x, mha(f'att_{i}')(h, h, use_causal_mask=True)])
        h = norm(x, f'norm_{i}_b')
        x = layers.Add()([x, mha(f'cross_{i}', value_dim=3)(h, encoded, encoded)])
    return keras.Model([source, target], layers.Dense(vocab, name='head')(x)), [sources, padded]


def options():
    """What the layers' configs and calls can say; models inside a model; a mask as an input."""
    hidden, mask = keras.Input((None, dim), name='hidden'), keras.Input((None, None), dtype='bool', name='mask')
    newer = {} if version == 2 else {'sliding_window': 3, 'use_gate': True}
    x = mha('att_0', value_dim=5, use_bias=False, output_shape=8, **newer)(hidden, hidden, use_causal_mask=True)
    inner = keras.Input((None, 8))
    block = keras.Model(inner, layers.Add()([inner, mha('att_1', **newer)(inner, inner)]), name='block')
    stack = keras.Sequential([keras.Input((None, 8)), layers.Dense(8, activation='silu', name='first'),
                              layers.Dropout(0.1), layers.Dense(8, name='second', kernel_regularizer='l2')], name='stack')
    x = stack(block(x))
    x = mha('att_2')(x, hidden, key=layers.Dense(7, name='keys')(hidden), attention_mask=mask)
    if version == 3:
        x = gqa('att_3', sliding_window=2, use_gate=True)(x, x)
        x = layers.RMSNormalization(name='rms')(x)
    rng = np.random.default_rng(4)
    hiddens = rng.normal(size=(2, 6, dim)).astype('float32').round(3)
    masks = rng.random((2, 6, 6)) < 0.6
    masks[:, :, 0] = True
    masks[1, 2] = False  # a query that sees nothing
    return keras.Model([hidden, mask], x), [hiddens, masks]


def save(name, made, spread=0.4):
    model, inputs = made
    rng = np.random.default_rng(7)
    model.set_weights([rng.normal(1 if 'gamma' in variable.name else 0, spread, variable.shape).astype('float32')
                       for variable in model.weights])
    folder = out / f'{name}_{version}'
    tfjs.converters.save_keras_model(model, str(folder))
    outputs = np.asarray(model(inputs if len(inputs) > 1 else inputs[0]))
    tensor = lambda x: {'shape': list(x.shape), 'dtype': str(x.dtype), 'data': x.flatten().tolist()}
    golden = {
        'keras': keras.__version__,
        'inputs': [tensor(np.asarray(x)) for x in inputs],
        'output': {'shape': list(outputs.shape), 'data': [float(f'{number:.8g}') for number in outputs.flatten().tolist()]},
    }
    (folder / 'golden.json').write_text(json.dumps(golden) + '\n')
    print(folder.name, model.count_params(), 'weights')


save('mha', before(mha))
save('mha_masks', before(mha, mask_zero=True))
save('mha_after', after(mha))
save('sums', sums(), spread=0.25)  # what padding sees must not depend on rounding: nothing hides it later
save('translation', translation())
save('options', options())
if version == 3:
    save('gqa', before(gqa))
    save('gqa_masks', before(gqa, mask_zero=True))
    save('gqa_after', after(gqa))
