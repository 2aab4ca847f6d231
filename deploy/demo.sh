#!/usr/bin/env bash
# demo.sh - the whole of Reprise on this machine: a controller, three nodes, a real training job on two of
# them, the death of one node, and the model. `make demo` runs it; KEEP=1 leaves the cluster up, STEPS=n
# trains longer or shorter than the job's file says.
#   demo.sh             run the demo
#   demo.sh stop DIR    end a cluster that was left up, and remove its folder
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
build=${BUILD:-build}
[ "${build#/}" != "$build" ] || build=$root/$build
bin=$build/bin
nodes=(a b c)

say() {
    printf '\n== %s\n' "$*"
}
die() {
    printf 'demo: %s\n' "$*" >&2
    exit 1
}

# ---- processes -----------------------------------------------------------------------------------

# Our programs that work in folder $1: agents, controllers, and the runners and trainers that outlive agents.
processes_of() {
    local path name
    for path in /proc/[0-9]*; do
        read -r name 2>/dev/null <"$path/comm" || continue
        case $name in reprise*) ;; *) continue ;; esac
        grep -qsaF "$1" "$path/cmdline" "$path/environ" && echo "${path#/proc/}"
    done
    return 0
}

# Process $1 and everything below it.
tree_of() {
    local pid=$1 child
    echo "$pid"
    for child in $(cat /proc/"$pid"/task/*/children 2>/dev/null); do
        tree_of "$child"
    done
}

stop_cluster() {
    local dir=$1 pids i
    # Runners and trainers first: by design they go on without their agent.
    for pid in $(processes_of "$dir"); do
        case $(cat /proc/"$pid"/comm 2>/dev/null) in
        reprise-agent | reprise-service) kill -TERM "$pid" 2>/dev/null || true ;;
        *) kill -KILL "$pid" 2>/dev/null || true ;;
        esac
    done
    for i in {1..50}; do
        pids=$(processes_of "$dir")
        [ -n "$pids" ] || break
        [ "$i" -lt 50 ] || kill -KILL $pids 2>/dev/null || true
        sleep 0.1
    done
    rm -rf "$dir"
}

if [ "${1:-}" = stop ]; then
    [ -f "${2:-}/endpoints" ] || die "${2:-no folder}: not a demo's folder"
    stop_cluster "$2"
    echo "stopped; $2 is gone"
    exit 0
fi

finish() {
    local rc=$?
    trap - EXIT INT TERM
    [ -z "${killer:-}" ] || kill "$killer" 2>/dev/null || true
    if [ "$rc" -ne 0 ] && [ "$rc" -lt 129 ] && [ -f "$dir/service.log" ]; then
        tail -n 15 "$dir/service.log" "$dir"/node-*.log >&2
    fi
    if [ "$rc" -eq 0 ] && [ "${KEEP:-}" = 1 ]; then
        say "left up"
        echo "status page   $("$bin/reprise" ui)"
        echo "command line  export REPRISE_SERVER=$REPRISE_SERVER REPRISE_TOKEN=\$(cat $dir/service/operator.token)"
        echo "              $bin/reprise ps"
        echo "stop          $root/deploy/demo.sh stop $dir"
        echo "              (ends its processes and removes that folder; the token is void from then on)"
    else
        stop_cluster "$dir"
    fi
    exit "$rc"
}

# ---- build ---------------------------------------------------------------------------------------

say "packages"
"$root/deploy/deps.sh" --yes
echo "all there"

dir=$(mktemp -d "${TMPDIR:-/tmp}/reprise-demo.XXXXXX")
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
say "build"
make -C "$root" BUILD="$build" -j"$(nproc)" all 2>&1 | tee "$dir/build.log" | "$root/deploy/ticker.sh" || {
    tail -n 30 "$dir/build.log" >&2
    die "the build failed"
}
echo "programs are in $bin"

# ---- cluster -------------------------------------------------------------------------------------

wait_for() { # wait_for SECONDS WHAT COMMAND...
    local tries=$(($1 * 20)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || die "$what did not come up"
        sleep 0.05
    done
}

value() { # value FIELD: of the job, empty if there is none
    "$bin/reprise" show "$job" --field "$1" 2>/dev/null || true
}

say "controller and three nodes on loopback"
setsid "$bin/reprise-service" --data "$dir/service" --listen 127.0.0.1:0 --agents-listen 127.0.0.1:0 \
    --profile fast >"$dir/service.log" 2>&1 </dev/null &
wait_for 10 "the controller" test -s "$dir/service/endpoints.json"
api=$(sed -n 's/.*"api": *"\([^"]*\)".*/\1/p' "$dir/service/endpoints.json")
agents=$(sed -n 's/.*"agents": *"\([^"]*\)".*/\1/p' "$dir/service/endpoints.json")
printf '%s\n%s\n' "$api" "$agents" >"$dir/endpoints"
REPRISE_SERVER=$api
REPRISE_TOKEN=$(cat "$dir/service/operator.token")
XDG_CONFIG_HOME=$dir/config # the user's own configuration stays out of this
export REPRISE_SERVER REPRISE_TOKEN XDG_CONFIG_HOME
unset REPRISE_PROFILE REPRISE_TOKEN_FILE

declare -A agent
for node in "${nodes[@]}"; do
    "$bin/reprise" node token >"$dir/join-$node"
    setsid "$bin/reprise-agent" --controller "$agents" --data "$dir/node-$node" \
        --join-token-file "$dir/join-$node" --slots cpu:1 --address 127.0.0.1 --label "node=$node" \
        >"$dir/node-$node.log" 2>&1 </dev/null &
    agent[$node]=$!
    disown # its end is no news for this shell
done
all_ready() {
    [ "$("$bin/reprise" node ls -o csv | grep -c ,ready,)" -eq ${#nodes[@]} ]
}
wait_for 10 "a node" all_ready
"$bin/reprise" node ls
echo
echo "status page: $("$bin/reprise" ui)"

# ---- job -----------------------------------------------------------------------------------------

if [ -n "${REPRISE_DATA:-}" ] && [ -d "$REPRISE_DATA/mnist" ]; then
    data=$(cd "$REPRISE_DATA/mnist" && pwd)
    about="the full MNIST, $data (60,000 training and 10,000 test images)"
else
    data=$root/deploy/data/mnist-small
    about="deploy/data/mnist-small: a real part of MNIST (10,000 training and 2,000 test images)"
fi
say "a job on two of them: $about"
"$bin/reprise" data add mnist "$data" -o name >/dev/null
change=()
[ -z "${STEPS:-}" ] || change=(--set "training.steps=$STEPS")
job=$("$bin/reprise" submit "$root/deploy/jobs/digits.json" "${change[@]}" -o name)
echo "$job"

# Waits for two committed checkpoints that the API shows, then kills the whole node of rank 0.
kill_a_node() {
    local id label pids
    until [ -n "$(value checkpoints.1.step)" ]; do
        case $(value state) in succeeded | failed | cancelled) return 1 ;; esac
        sleep 0.05
    done
    id=$(value attempts.-1.ranks.0.node)
    label=$("$bin/reprise" node show "$id" --field labels.node)
    pids=$(tree_of "${agent[$label]}")
    date -u +%H:%M:%S.%3N >"$dir/killed_at"
    # shellcheck disable=SC2086
    kill -KILL $pids
    [ ! -t 1 ] || printf '\r\033[K'
    # shellcheck disable=SC2086
    echo "           >>> kill -9 of all of node $label ($id): pids" $pids
    echo "$label" >"$dir/killed"
}
kill_a_node &
killer=$!
"$bin/reprise" watch "$job"
wait "$killer" || die "no node was killed"
killer=

# ---- what came of it -----------------------------------------------------------------------------

ms_of_day() { # of "T07:12:00.123Z"
    local t=${1#*T}
    echo $(((10#${t:0:2} * 3600 + 10#${t:3:2} * 60 + 10#${t:6:2}) * 1000 + 10#${t:9:3}))
}
between() { # milliseconds from one time to another, both within a day; midnight may pass
    if [ -z "$1" ] || [ -z "$2" ]; then
        echo '?'
    else
        echo $((($(ms_of_day "$2") - $(ms_of_day "$1") + 86400000) % 86400000))
    fi
}
incident() { # a time of the second attempt's incident
    value "attempts.1.incident.$1"
}
killed_at=T$(cat "$dir/killed_at")

mkdir -p "$build/demo"
model=$build/demo/digits.safetensors
"$bin/reprise" model "$job" -o "$model" >/dev/null 2>"$dir/model.txt" || {
    cat "$dir/model.txt" >&2
    exit 1
}
say "result"
echo "test accuracy  $(value model.metrics.eval_accuracy)"
echo "model          $model"
echo "SHA-256        $(value model.sha256) (weights)"
echo "               $(sed -n 's/^sha256 of the file *\([0-9a-f]*\).*/\1/p' "$dir/model.txt") (file, checked)"
echo "node lost      node $(cat "$dir/killed"): $(incident cause)"
echo "detected       $(between "$killed_at" "$(incident detected_at)") ms after the kill"
echo "placed         $(between "$(incident detected_at)" "$(incident placed_at)") ms later"
echo "first step     $(between "$(incident placed_at)" "$(incident first_step_at)") ms later," \
    "from the checkpoint at step $(value attempts.1.resume_step)"
echo "steps lost     $(value attempts.1.lost_steps)"
echo "data           $about"
