"""Which of TensorFlow's ops have kernels for GPUs, by its own registry, for test/ops/tensorflow/gpu_kernels.test.ts.

    pip install tensorflow==2.9.3        # Python 3.10; and tensorflow==2.15.1 in another environment
    python tensorflow_gpu_kernels.py tensorflow_gpu_kernels.json

The plain wheel registers kernels for GPUs wherever it is loaded; no GPU is needed. (The wheel `tensorflow-cpu` has none.) tfjs-node-gpu
4.22 loads TensorFlow 2.9.1; tools/build_tfjs_node.sh takes 2.15.1. Run once with each version: kernels that only one has are dropped.
"""

import json
import os
import sys

os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'

import tensorflow as tf
from tensorflow.python.framework import dtypes, kernels, op_def_registry

# What kernels of eigenkv on tensorflow, and the caches that run on it, call in steps.
OPS = (
    'Abs Add AddN AddV2 All ArgMax BatchMatMulV2 Bitcast BitwiseAnd BitwiseOr Cast ConcatV2 DivNoNan Equal Exp ExpandDims Fill Floor '
    'GatherV2 Greater GreaterEqual Identity InplaceUpdate IsFinite LeftShift Less LessEqual Log LogicalAnd LowerBound MatMul '
    'Max Maximum Mean Min Minimum Mul Neg OnesLike Pack Pad Qr Range RealDiv Reciprocal Relu Reshape ReverseV2 RightShift Round Rsqrt '
    'Select SelectV2 SelfAdjointEigV2 Sigmoid Slice SplitV Sqrt Square Sub Sum Svd Tanh Tile TopKV2 Transpose Unpack ZerosLike'
).split()


def described(name):
    """The inputs of an op, by the attribute that is their dtype, and the dtypes and the inputs in host memory of its GPU kernels."""
    definition = op_def_registry.get(name)
    defaults = {attr.name: dtypes.as_dtype(attr.default_value.type).name for attr in definition.attr if attr.default_value.type}
    listed = set()
    for kernel in kernels.get_registered_kernels_for_op(name).kernel:
        if kernel.device_type != 'GPU':
            continue
        types = {c.name: [dtypes.as_dtype(t).name for t in c.allowed_values.list.type] for c in kernel.constraint}
        # an attribute that nobody sets; not all versions have it
        types = {attribute: allowed for attribute, allowed in types.items() if allowed != [defaults.get(attribute)]}
        host = sorted(kernel.host_memory_arg)
        listed.add(json.dumps({'types': types, **({'host': host} if host else {})}, sort_keys=True))
    argument = lambda arg: {'name': arg.name, 'type': arg.type_attr or dtypes.as_dtype(arg.type).name,
                            **({'number': arg.number_attr} if arg.number_attr else {})}
    return {'inputs': [argument(arg) for arg in definition.input_arg], 'outputs': [argument(arg) for arg in definition.output_arg],
            'kernels': sorted(listed)}


path = sys.argv[1]
found = {name: described(name) for name in OPS}
versions = [tf.__version__]
if os.path.exists(path):
    with open(path) as file:
        before = json.load(file)
    if tf.__version__ not in before['versions']:
        versions = sorted([*before['versions'], tf.__version__])
        for name, op in found.items():
            known = {json.dumps(kernel, sort_keys=True) for kernel in before['ops'][name]['kernels']}
            op['kernels'] = [kernel for kernel in op['kernels'] if kernel in known]
for op in found.values():
    op['kernels'] = [json.loads(kernel) for kernel in op['kernels']]
with open(path, 'w') as file:
    ops = ',\n'.join(f'    {json.dumps(name)}: {json.dumps(op)}' for name, op in sorted(found.items()))
    file.write(f'{{\n  "versions": {json.dumps(versions)},\n  "ops": {{\n{ops}\n  }}\n}}\n')
