#!/bin/sh
# Builds the native part of @tensorflow/tfjs-node from a TensorFlow wheel.
#
# The package's own install step downloads libtensorflow and a compiled addon from a storage host. Where that host
# cannot be reached, this does the same from two package registries: PyPI's tensorflow-cpu wheel carries the C library
# (libtensorflow_cc.so.2, which exports all of the C API) with its headers, and npm's node-api-headers carries node_api.h.
# docs/backends/tensorflow.md says what was tried and measured.
set -eu

TFJS_VERSION=4.22.0
NODE_API_HEADERS_VERSION=1.9.0
DEFAULT_TENSORFLOW_VERSION=2.15.1
DEFAULT_WHEEL_SHA256=ba9503db2c5357ea21938555323581fbdabf3d051b6bc1b5f73c5b0ae034d077
# Every tensorflow-cpu from 2.12 to 2.21 has a CPython 3.10 wheel. No Python 3.10 is needed: nothing Python in it is run.
WHEEL_PYTHON=3.10
WHEEL_ABI=cp310

usage() {
  cat <<EOF
usage: tools/build_tfjs_node.sh NODE_MODULES [--force]

  NODE_MODULES  the node_modules folder whose @tensorflow/tfjs-node is to be built;
                the package is installed beside its tfjs ${TFJS_VERSION} peers where it is missing
  --force       builds again even where a working addon is found

environment:
  TENSORFLOW_VERSION  version of the tensorflow-cpu wheel, 2.12.0 or newer (default ${DEFAULT_TENSORFLOW_VERSION},
                      the one whose SHA-256 is checked)

needs Linux on x86_64 with glibc, node >= 20, npm, python3 >= 3.9 with pip, g++ with C++17, 2 GB of disk; downloads 0.2 GB
EOF
}

main() {
  modules=''
  force=no
  for argument in "$@"; do
    case $argument in
      -h | --help) usage; exit 0 ;;
      --force) force=yes ;;
      -*) usage_error "unknown option $argument" ;;
      *) [ -z "$modules" ] || usage_error "one node_modules folder expected, given '$modules' and '$argument'"
         modules=$argument ;;
    esac
  done
  [ -n "$modules" ] || usage_error 'no node_modules folder given'
  tensorflow_version=${TENSORFLOW_VERSION:-$DEFAULT_TENSORFLOW_VERSION}

  check_machine
  check_tensorflow_version
  [ "$(basename "$modules")" = node_modules ] || usage_error "'$modules' is not a node_modules folder"
  mkdir -p "$modules"
  modules=$(cd "$modules" && pwd -P)
  package=$modules/@tensorflow/tfjs-node
  napi=$(node -p 'Math.min(8, Number(process.versions.napi))') # node-pre-gyp's choice: the package lists 3 to 8
  addon=$package/lib/napi-v$napi/tfjs_binding.node

  install_package
  if [ "$force" = no ] && [ -f "$addon" ] &&
    [ "$(cat "$package/deps/tensorflow_version" 2>/dev/null)" = "$tensorflow_version" ]; then
    say "already built with TensorFlow $tensorflow_version; checking it"
  else
    build
  fi
  verify
}

check_machine() {
  [ "$(uname -s) $(uname -m)" = 'Linux x86_64' ] ||
    fail "this is $(uname -s) on $(uname -m), and the wheel's library is for Linux on x86_64: use 'npm install @tensorflow/tfjs-node@$TFJS_VERSION' here"
  for tool in node npm python3 g++; do
    command -v "$tool" >/dev/null || fail "$tool is not on the PATH: install it and run this again"
  done
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))' || fail "$(python3 --version) is too old: 3.9 or newer is needed"
  python3 -m pip --version >/dev/null 2>&1 || fail 'python3 has no pip: install it (Debian: apt-get install python3-pip)'
  [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ] || fail "node $(node -v) is too old: 20 or newer is needed"
}

check_tensorflow_version() {
  python3 - "$tensorflow_version" <<'PYTHON' ||
import re, sys
match = re.fullmatch(r'(\d+)\.(\d+)\.\d+(\.post\d+)?', sys.argv[1])
sys.exit(not (match and (int(match[1]), int(match[2])) >= (2, 12)))
PYTHON
    fail "TENSORFLOW_VERSION is '$tensorflow_version': give a release such as 2.15.1, 2.12.0 or newer (older wheels have no libtensorflow_cc.so.2)"
}

install_package() {
  if [ ! -f "$package/package.json" ]; then
    say "installing @tensorflow/tfjs-node@$TFJS_VERSION without its download step"
    # --no-save: package.json keeps tfjs-node an optional peer. --ignore-scripts: its script is what cannot run here.
    (cd "$modules/.." && npm install --ignore-scripts --no-save --no-audit --no-fund "@tensorflow/tfjs-node@$TFJS_VERSION") >&2 ||
      fail "npm could not install @tensorflow/tfjs-node@$TFJS_VERSION beside $modules"
    [ -f "$package/package.json" ] ||
      fail "npm installed, but not into $modules: give the node_modules of a folder that has a package.json"
  fi
  installed=$(node -p 'require(process.argv[1]).version' "$package/package.json")
  [ "$installed" = "$TFJS_VERSION" ] ||
    fail "$package is version $installed, and $TFJS_VERSION is what this builds: remove the folder and run this again"
}

build() {
  # Everything is made in a folder of its own on the same file system and moved at the end: an interrupted run leaves
  # what was there before.
  staging=$package/.staging.$$
  trap 'rm -rf "$staging"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  mkdir -p "$staging/wheel" "$staging/deps"

  say "downloading the tensorflow-cpu $tensorflow_version wheel (about 0.2 GB)"
  requirement="tensorflow-cpu==$tensorflow_version"
  if [ "$tensorflow_version" = "$DEFAULT_TENSORFLOW_VERSION" ]; then
    requirement="$requirement --hash=sha256:$DEFAULT_WHEEL_SHA256"
  fi
  echo "$requirement" >"$staging/requirements.txt"
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --implementation cp \
    --python-version $WHEEL_PYTHON --abi $WHEEL_ABI \
    --platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux_2_27_x86_64 \
    --requirement "$staging/requirements.txt" --dest "$staging/wheel" >&2 ||
    fail "pip could not download tensorflow-cpu $tensorflow_version"

  say 'unpacking the C library and its headers'
  python3 - "$staging" <<'PYTHON' || fail 'the wheel does not hold what is expected of it, or the disk is full'
import pathlib, shutil, sys, zipfile
staging = pathlib.Path(sys.argv[1])
with zipfile.ZipFile(next((staging / 'wheel').glob('*.whl'))) as wheel:
    names = wheel.namelist()
    wanted = {name: 'lib/' + name.split('/')[1] for name in
              ('tensorflow/libtensorflow_cc.so.2', 'tensorflow/libtensorflow_framework.so.2')}
    # The C headers lean on TensorFlow's and, by version, tsl's or xla's; all are text and small.
    wanted |= {name: name.removeprefix('tensorflow/') for name in names
               if name.startswith('tensorflow/include/') and name.endswith('.h')}
    for name, place in wanted.items():
        target = staging / 'deps' / place
        target.parent.mkdir(parents=True, exist_ok=True)
        with wheel.open(name) as source, target.open('wb') as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
PYTHON
  rm -rf "$staging/wheel"

  say 'fetching the Node-API headers'
  npm install --prefix "$staging/headers" --ignore-scripts --no-audit --no-fund --no-save \
    "node-api-headers@$NODE_API_HEADERS_VERSION" >&2 || fail "npm could not install node-api-headers@$NODE_API_HEADERS_VERSION"

  say 'compiling the addon'
  # -l:NAME links the file by its own name, so no libtensorflow.so links are needed; at run time $ORIGIN finds it.
  g++ -std=c++17 -O2 -fPIC -shared -Wno-deprecated-declarations -DNAPI_VERSION="$napi" \
    -I"$staging/headers/node_modules/node-api-headers/include" -I"$staging/deps/include" \
    "$package/binding/tfjs_backend.cc" "$package/binding/tfjs_binding.cc" -o "$staging/tfjs_binding.node" \
    -L"$staging/deps/lib" -l:libtensorflow_cc.so.2 -l:libtensorflow_framework.so.2 \
    "-Wl,-rpath,\$ORIGIN/../../deps/lib" || fail 'g++ could not compile the addon: its messages are above'

  rm -rf "$staging/deps/include" # 80 MB that only the compiler reads
  rm -rf "$package/deps" "$(dirname "$addon")"
  mkdir -p "$(dirname "$addon")"
  mv "$staging/deps" "$package/deps"
  mv "$staging/tfjs_binding.node" "$addon"
  echo "$tensorflow_version" >"$package/deps/tensorflow_version" # last: it marks the build as whole
}

verify() {
  # Loaded from the target folder as a program there would: a second copy of tfjs-core would be a second engine, whose
  # tensors and backends the first does not know.
  (cd "$modules/.." && TF_CPP_MIN_LOG_LEVEL=2 node -e '
    const util = require("util");
    util.isNullOrUndefined ??= (value) => value == null; // tfjs-node calls it; gone from Node 24
    const tf = require("@tensorflow/tfjs-node");
    const own = require.resolve("@tensorflow/tfjs-core");
    const theirs = require.resolve("@tensorflow/tfjs-core", {paths: [require.resolve("@tensorflow/tfjs-node")]});
    if (own !== theirs) throw new Error(`two copies of tfjs-core, ${own} and ${theirs}: make their versions equal`);
    const product = tf.tensor2d([1, 2, 3, 4], [2, 2]).matMul(tf.tensor2d([5, 6, 7, 8], [2, 2])).arraySync();
    const expected = "[[19,22],[43,50]]";
    if (JSON.stringify(product) !== expected)
      throw new Error(`matMul gave ${JSON.stringify(product)}, expected ${expected}`);
    console.log(`backend "${tf.getBackend()}" runs: tfjs-node ${tf.version["tfjs-node"]}, ` +
      `TensorFlow ${tf.backend().binding.TF_Version}, Node ${process.version}`);
  ') || fail 'the addon was built but does not run: the message is above'
}

say() { echo "build_tfjs_node: $*" >&2; }
fail() { say "error: $*"; exit 1; }
usage_error() { say "error: $*"; usage >&2; exit 2; }

main "$@"
