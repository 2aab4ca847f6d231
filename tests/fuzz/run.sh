#!/bin/sh
# Runs fuzz targets one after the other: tests/fuzz/run.sh build/tests/fuzz/fuzz_NAME...
# New inputs go to $BUILD/corpus, which later runs start from; an input that breaks a target goes to $BUILD/found.
set -u
BUILD=${BUILD:-build}
failed=""
mkdir -p "$BUILD/found"
for target in "$@"; do
    name=$(basename "$target" | sed 's/^fuzz_//')
    mkdir -p "$BUILD/corpus/$name"
    seeds=""
    [ -d "tests/fuzz/corpus/$name" ] && seeds="tests/fuzz/corpus/$name"
    [ "$name" = job_spec ] && seeds="schema/examples/valid schema/examples/invalid"
    dict=""
    [ -e "tests/fuzz/$name.dict" ] && dict="-dict=tests/fuzz/$name.dict"
    log="$BUILD/found/$name.log"
    # shellcheck disable=SC2086
    if "$target" -max_total_time="${FUZZ_SECONDS:-20}" -max_len=20000 -timeout=5 -rss_limit_mb=1024 -print_final_stats=1 \
        $dict -artifact_prefix="$BUILD/found/$name-" "$BUILD/corpus/$name" $seeds >"$log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        echo "ok   $name ($runs runs)"
    else
        echo "FAIL $name, see $log"
        grep -E 'ERROR|Assertion|runtime error|SUMMARY|Test unit written' "$log" | head -10
        failed="$failed $name"
    fi
done
[ -z "$failed" ]
