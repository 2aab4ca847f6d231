#!/bin/sh
# Breaks one safety rule of the brain at a time, in a copy of the tree, and requires that the simulator notices.
# Each line: name | file | text that stands there once | text instead. A text that is not found is an error, so
# that the list cannot rot. usage: tests/sim/mutants.sh [NAME...]; SEEDS=400 bounds each search.
set -eu
SEEDS=${SEEDS:-400}
top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$top"
git ls-files -co --exclude-standard | tar cf - -T - | tar xf - -C "$work"
cd "$work"

list() {
    cat <<'LIST'
commit_of_a_stale_attempt|service/brain/checkpoint.c|live == NULL || live->row.attempt != shard->attempt|live == NULL
result_of_a_stale_attempt|service/brain/job.c|attempt == NULL || attempt->row.attempt != result->attempt|attempt == NULL
lost_before_w|service/brain/lease.c|return at_least(node->heard_ms, brain->start_ms) + brain->wait_ms;|return at_least(node->heard_ms, brain->start_ms) + brain->wait_ms / 2;
restart_forgets_leases|service/brain/load.c|brain->nodes[i]->heard_ms = boot_ms;|brain->nodes[i]->heard_ms = boot_ms - 2 * brain->wait_ms, brain->start_ms = boot_ms - 2 * brain->wait_ms;
suspicion_alone_ends|service/brain/lease.c|rank->waiting_ms >= lease_witness_ms(brain))|rank->waiting_ms >= 0)
resumes_before_the_newest_checkpoint|service/brain/launch.c|job->row.resume_step = job->row.committed_step;|job->row.resume_step = job->checkpoint_count > 1 ? job->checkpoints[0].step : job->row.committed_step;
infrastructure_charges_the_job|service/brain/retry_policy.c|[REASON_NODE_REBOOTED]      = {.retry = true, .charge = CHARGE_INFRA}|[REASON_NODE_REBOOTED] = {.retry = true, .charge = CHARGE_JOB}
unfenced_does_not_wait|service/brain/placement.c|if (job->row.request.fenced)|if (job != NULL)
rank_end_not_written|service/brain/ending.c|    emit_rank(brain, rank);|
key_not_looked_up|service/brain/job.c|if (submit->existing_job[0] == '\0')|if (submit->existing_job[0] != '\1')
start_limit_not_judged|service/brain/job.c|if (attempt == NULL \|\| attempt->row.state != ATTEMPT_PLACED)|if (brain != NULL)
desired_without_a_new_revision|service/brain/brain.c|        emit_node(brain, node);|
cancelled_while_ranks_run|service/brain/ending.c|if (!rank->row.ended && rank->node->row.state != NODE_LOST)|if (rank == NULL)
slot_given_twice|service/brain/launch.c|slot->row.present && slot->row.job[0] == '\0')|slot->row.present)
LIST
}

mutate() { # file, old, new: replaces the one place where `old` stands
    FILE=$1 OLD=$2 NEW=$3 perl -0pi -e '
        BEGIN { $old = $ENV{OLD}; $new = $ENV{NEW} }
        $n = () = /\Q$old\E/g;
        if ($n != 1) { print STDERR "$ENV{FILE}: found $n times: $old\n"; $bad = 1 }
        s/\Q$old\E/$new/;
        END { exit($bad ? 1 : 0) }' "$1"
}

make -s build/bin/simrun >build.log 2>&1 || { tail -20 build.log; exit 1; }
caught=0
missed=""
list >list.txt
while IFS= read -r line; do
    line=$(printf '%s' "$line" | sed 's/\\|\\|/@OR@/g; s/ || /@OR2@/g')
    name=${line%%|*}
    rest=${line#*|}
    file=${rest%%|*}
    rest=${rest#*|}
    old=$(printf '%s' "${rest%%|*}" | sed 's/@OR@/||/g; s/@OR2@/ || /g')
    new=$(printf '%s' "${rest#*|}" | sed 's/@OR@/||/g; s/@OR2@/ || /g')
    [ $# -eq 0 ] || case " $* " in *" $name "*) ;; *) continue ;; esac
    cp "$file" keep.c
    mutate "$file" "$old" "$new"
    make -s build/bin/simrun >build.log 2>&1 || { tail -20 build.log; exit 1; }
    if build/bin/simrun --seeds "$SEEDS" --stop >run.log 2>&1; then
        missed="$missed $name"
        echo "MISSED $name"
    else
        caught=$((caught + 1))
        echo "caught $name: $(grep -m1 -E 'seed [0-9]+ at|Assertion' run.log | cut -c1-140)"
    fi
    cp keep.c "$file"
    sleep 1 # make compares whole seconds on some file systems
    touch "$file"
done <list.txt
echo "$caught mutants caught${missed:+, missed:$missed}"
[ -z "$missed" ]
