#!/bin/sh
# Checks a GPU with nothing but a copy of this working tree, whose machine may have no network and no Node.
#
#   sh tools/gpu_check.sh pack           here: writes node_modules/.gpu_check, the one ignored folder to carry (less than 64 MB)
#   sh tools/gpu_check.sh run FOLDER     there: op tests on the GPU, then the benchmark, also with features (docs/backends/webgpu.md); writes
#                                        FOLDER/tests_*.jsonl, bench.json, bench_*.json, check.log
#
# `run` takes the minutes that GPU_CHECK_TESTS (default 4, for each file), GPU_CHECK_BENCH (default 5) and GPU_CHECK_FEATURES (default 1, for each)
# give it, and says in check.log what was cut short.
# TOKENS=2048,8192,32768 are the lengths; a SmolLM2 GGUF file is timed as well if SMOLLM2=FILE names one. Ends with 3 without a GPU, also
# where a program stands in for one (llvmpipe), unless GPU_CHECK_SOFTWARE=1 says that it shall do.
set -eu
cd "$(dirname "$0")/.."
carry=node_modules/.gpu_check

pack() {
  rm -rf "$carry" && mkdir -p "$carry/tree"
  node tools/gpu_check_modules.mjs > "$carry/modules"
  # of tfjs' packages, what Node loads; of Dawn, this machine's library
  tar -cf - --exclude='*.map' --exclude='*.d.ts' --exclude='*fesm*' --exclude='*es2017*' \
    --exclude='dist/tf.js' --exclude='dist/darwin-*' --exclude='dist/win32-*' --exclude='dist/linux-arm64' \
    -T "$carry/modules" | tar -xf - -C "$carry/tree"
  find "$carry/tree/node_modules/@tensorflow" \( -name '*.ts' -o -path '*/dist/*' -not -name '*.node.js' -not -name '*.wasm' \) -type f -delete
  tar -C "$carry/tree" -czf "$carry/modules.tgz" node_modules
  rm -rf "$carry/tree" "$carry/modules"
  gzip -9c "$(command -v node)" > "$carry/node.gz"
  loader=$(ldconfig -p | sed -n 's/.*libvulkan.so.1 .*=> //p' | head -1)
  [ -z "$loader" ] || cp -L "$loader" "$carry/libvulkan.so.1"
  echo "carry $carry: $(du -sm "$carry" | cut -f1) MB (without node.gz where there is Node 20 or later: $(du -m "$carry/modules.tgz" | cut -f1) MB)"
}

run() {
  out=$1
  mkdir -p "$out"
  out=$(cd "$out" && pwd)
  [ -d node_modules/mocha ] || tar -xzf "$carry/modules.tgz"
  if ! command -v node > /dev/null; then
    mkdir -p "$out/.bin" && gzip -dc "$carry/node.gz" > "$out/.bin/node" && chmod +x "$out/.bin/node"
    PATH=$out/.bin:$PATH
  fi
  if ! ldconfig -p | grep -q 'libvulkan.so.1 '; then
    LD_LIBRARY_PATH=$(pwd)/$carry:${LD_LIBRARY_PATH:-}
    export LD_LIBRARY_PATH
  fi
  # containers often have NVIDIA's driver without the file that tells the loader of it
  if [ -z "${VK_ICD_FILENAMES:-}" ] && ! ls /usr/share/vulkan/icd.d/*.json /etc/vulkan/icd.d/*.json > /dev/null 2>&1; then
    driver=$(ldconfig -p | sed -n 's/.*\(libGLX_nvidia.so.0\|libEGL_nvidia.so.0\) .*=> //p' | head -1)
    if [ -n "$driver" ]; then
      echo "{\"file_format_version\": \"1.0.0\", \"ICD\": {\"library_path\": \"$driver\", \"api_version\": \"1.3.0\"}}" > "$out/icd.json"
      VK_ICD_FILENAMES=$out/icd.json
      export VK_ICD_FILENAMES
    fi
  fi
  {
    nvidia-smi -L 2> /dev/null || true
    ls /usr/share/vulkan/icd.d /etc/vulkan/icd.d 2> /dev/null || true
    echo "node $(node --version), VK_ICD_FILENAMES=${VK_ICD_FILENAMES:-}"
  } > "$out/check.log"
  if ! node --import tsx bench/webgpu.ts --adapter > "$out/adapter.json" 2>> "$out/check.log"; then
    echo 'no WebGPU adapter: see check.log' && cat "$out/check.log" && exit 3
  fi
  cat "$out/adapter.json"
  if [ -z "${GPU_CHECK_SOFTWARE:-}" ] && grep -q '"isSoftware":true' "$out/adapter.json"; then
    echo 'no GPU, only a program in place of one: GPU_CHECK_SOFTWARE=1 takes it all the same' | tee -a "$out/check.log" && exit 3
  fi
  status=0
  # first what is fast to compile and what a driver is likely to get wrong
  for tests in 'test/ops/webgpu/codes.test.ts' 'test/ops/webgpu/attention.test.ts' 'test/ops/webgpu/weights.test.ts' 'test/ops/webgpu/commands.test.ts' \
    'test/ops/webgpu/features.test.ts' 'test/ops/linalg/*.test.ts' 'test/cache/policies_on_webgpu.test.ts'; do
    name=$(basename "$(dirname "$tests")")_$(basename "$tests" .test.ts | tr -d '*')
    minutes "${GPU_CHECK_TESTS:-4}" env EIGENKV_TEST_BACKENDS=webgpu node node_modules/mocha/bin/mocha.js --reporter json-stream \
      --grep webgpu "$tests" > "$out/tests_$name.jsonl" 2>> "$out/check.log" \
      || said "$tests" $?
  done
  minutes "${GPU_CHECK_BENCH:-5}" node --import tsx bench/webgpu.ts --tokens "${TOKENS:-2048,8192,32768}" --json "$out/bench.json" \
    ${SMOLLM2:+--model "$SMOLLM2"} 2>&1 | tee -a "$out/check.log"
  for feature in subgroups shader-f16; do
    grep -q "\"features\":.*\"$feature\"" "$out/adapter.json" || continue
    minutes "${GPU_CHECK_FEATURES:-1}" node --import tsx bench/webgpu.ts --tokens 8192 --features "$feature" --json "$out/bench_$feature.json" 2>&1 \
      | tee -a "$out/check.log"
  done
  rm -rf "$out/.bin"
  return $status
}

# said TESTS CODE: writes down how tests ended that did not pass (124 is timeout's)
said() {
  status=1
  if [ "$2" -eq 124 ]; then echo "$1: cut short"; else echo "$1: failed"; fi | tee -a "$out/check.log"
}

# minutes COUNT COMMAND: runs it for so long at most
minutes() {
  count=$1
  shift
  timeout "${count}m" "$@"
}

case ${1:-} in
  pack) pack ;;
  run) run "${2:?give a folder for the results}" ;;
  *) sed -n '2,12p' "$0" && exit 2 ;;
esac
