#!/usr/bin/env bash
# All that convbench asks of a GPU, in one command that ends in time:
#
#     scripts/gpu_round.sh FOLDER [SECONDS]
#
# Facts, a smoke test, the GPU tests, verification, ceilings, sweeps. Each step has a limit of its own, none stops the
# next, and a sweep that is cut off keeps its rows. FOLDER ends with at most 8 files, none above 16 MiB: the CSVs,
# summary.txt (also on stdout) and logs.tgz. It runs from a checkout and installs nothing. What the machine lacks of
# pyproject.toml is told first; wheels of it, made elsewhere by
#
#     python -m pip download --no-deps --dest wheels typer rich pillow expecttest
#
# are used from the folder wheels, or from the one that WHEELS names. Further settings: PYTHON, SKIP="ceilings tests"
# (steps to leave out), BATCH, BUDGET (seconds a candidate), FUZZ (cases), MORE and MORE_VERIFY (options for every sweep,
# and for verify).
set -u
out=${1:?give a folder for the results, and the seconds that it may take}
begun=$SECONDS
end=$((SECONDS + ${2:-470}))
mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 2
py=$(command -v "${PYTHON:-python3}") || { echo "PYTHON=${PYTHON:-python3} is not there" >&2; exit 2; }
py=$(cd "$(dirname "$py")" && pwd)/$(basename "$py")
wheels=${WHEELS:+$(cd "$WHEELS" && pwd)} || exit 2
cd "$(dirname "$0")/.." || exit 2
run="$py -m convbench"
site=$(mktemp -d)
wheels=${wheels:-wheels}
if compgen -G "$wheels/*.whl" >/dev/null; then
  timeout 60 $py -m pip install --quiet --no-index --no-deps --target "$site" "$wheels"/*.whl || echo "wheels: not usable here"
fi
export PYTHONPATH="$PWD:$site${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 CONVBENCH_CACHE="$site/cache"
: >"$out/summary.txt"

say() { echo "$*" | tee -a "$out/summary.txt"; }

step() { # step NAME SECONDS COMMAND...: at most so long, and never beyond the end
  local name=$1 most=$2 room=$((end - SECONDS)) begin=$SECONDS code
  shift 2
  [[ " ${SKIP:-} " == *" $name "* ]] && { say "$name: skipped, as SKIP says"; return; }
  [ "$room" -lt "$most" ] && most=$room
  [ "$most" -lt 5 ] && { say "$name: skipped, no time is left"; return; }
  timeout -k 5 "$most" "$@" >"$out/$name.log" 2>&1
  code=$?
  case $code in
    0) say "$name: ok in $((SECONDS - begin)) s" ;;
    124 | 137) say "$name: cut off after $((SECONDS - begin)) s; finished rows are kept" ;;
    *) say "$name: FAILED with $code in $((SECONDS - begin)) s: $(tail -1 "$out/$name.log" | cut -c1-200)" ;;
  esac
}

pack() {
  cd "$out" && tar -czf logs.tgz --remove-files -- *.log 2>/dev/null
  find . -maxdepth 1 -name '*.csv' -size +16M -exec gzip -f {} +
  rm -rf "$site"
  say "in all $((SECONDS - begun)) s"
}
trap pack EXIT

step facts 40 bash -c "
  $py - <<'END'
import importlib.metadata, platform, re, tomllib
print('python', platform.python_version())
project = tomllib.load(open('pyproject.toml', 'rb'))
wanted = project['project']['dependencies'] + [one for one in project['dependency-groups']['test'] if isinstance(one, str)]
first = ('typer', 'rich', 'pillow')
for line in sorted(wanted, key=lambda line: not line.startswith(first)):
    name, floor = re.match(r'([\w.-]+)[^\d]*([\d.]*)', line).groups()
    try:
        found = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        found = ''
    numbers = [tuple(int(part) for part in re.findall(r'\d+', text)[:3]) for text in (found, floor)]
    print(f'{name:20s} {found or \"MISSING\":12s}', '' if numbers[0] >= numbers[1] else f'below {floor}')
END
  nvidia-smi; nvidia-smi --query-gpu=name,clocks.sm,clocks.max.sm,power.limit,mig.mode.current --format=csv
  $run list devices"
grep -sE 'MISSING|below' "$out/facts.log" | while read -r line; do say "  lacks: $line"; done

gpu="--device cuda --overwrite"
cudnn="torch,cudnn,cudnn-benchmark"
step smoke 60 $run verify $gpu --backend torch,cudnn,unfold-matmul --shape n2c16h9w9k16r3s3_pd1 --layout nchw,nhwc \
  --pass fprop,dgrad,wgrad --csv "$out/smoke.csv"

options=(-q -m gpu -p no:cacheprovider --maxfail=20 -o addopts=--import-mode=importlib)
$py -c "import xdist" 2>/dev/null && options+=(-n 4)
$py -c "import beartype" 2>/dev/null && options+=(--jaxtyping-packages=convbench.backends,beartype.beartype)
mapfile -t files < <(grep -rl --include='test_*.py' 'mark.gpu' tests)
step tests 100 $py -m pytest "${options[@]}" "${files[@]}"

step verify 80 $run verify $gpu --backend "$cudnn,unfold-einsum,unfold-matmul" --fuzz "${FUZZ:-150}" \
  --epilogue none,bias_relu --csv "$out/verify.csv" ${MORE_VERIFY:-}
step ceilings 40 $run ceilings --device cuda --dtype fp16,bf16,fp32 --precision ieee,tf32

sweep() { # sweep NAME SECONDS SUITE OPTION...
  local name=$1 most=$2 suite=$3
  shift 3
  step "$name" "$most" $run bench $gpu --suite "$suite" --backend "$cudnn,unfold-matmul" --budget "${BUDGET:-0.15}" \
    --csv "$out/$name.csv" "$@" ${MORE:-}
}
half="--batch ${BATCH:-32} --dtype bf16,fp16 --layout nhwc,nchw --epilogue none,bias_relu"
sweep resnet50 130 resnet50 $half
sweep mobilenet_v2 130 mobilenet_v2 $half
sweep tf32 60 resnet50 --batch "${BATCH:-32}" --dtype fp32 --precision tf32 --layout nhwc
sweep deepbench 90 deepbench_inference_server --dtype fp16 --layout nhwc
