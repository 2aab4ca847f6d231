#!/bin/sh
# Runs suites and adds up what they say: tests/run.sh unit|sim|integration|layers ...
# Each cmocka binary prints its own tests; a binary that dies counts as one failure.
set -u
BUILD=${BUILD:-build}
passed=0
failed=0
skipped=0
failures=""

run_cmocka() {
    log="$BUILD/tests/$(basename "$1").log"
    timeout "${TEST_TIMEOUT:-300}" "$1" >"$log" 2>&1
    rc=$?
    p=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p' "$log" | awk '{s+=$1} END {print s+0}')
    f=$(sed -n 's/^\[  FAILED  \] \([0-9]*\) test.*/\1/p' "$log" | awk '{s+=$1} END {print s+0}')
    s=$(sed -n 's/^\[  SKIPPED \] \([0-9]*\) test.*/\1/p' "$log" | awk '{s+=$1} END {print s+0}')
    [ "$rc" -ne 0 ] && [ "$f" -eq 0 ] && f=1
    passed=$((passed + p))
    failed=$((failed + f))
    skipped=$((skipped + s))
    if [ "$f" -ne 0 ]; then
        failures="$failures $(basename "$1")"
        echo "FAIL $(basename "$1") (exit $rc), see $log"
        grep -E '^\[  (ERROR|FAILED) |error: |ERROR: |runtime error|Sanitizer|assert' "$log" | head -40
    else
        echo "ok   $(basename "$1") ($p passed$([ "$s" -ne 0 ] && echo ", $s skipped"))"
    fi
}

run_command() {
    name=$1
    shift
    log="$BUILD/tests/$name.log"
    if "$@" >"$log" 2>&1; then
        passed=$((passed + 1))
        echo "ok   $name: $(tail -1 "$log")"
    else
        failed=$((failed + 1))
        failures="$failures $name"
        echo "FAIL $name, see $log"
        tail -20 "$log"
    fi
}

mkdir -p "$BUILD/tests"
for suite in "$@"; do
    case $suite in
    unit | integration)
        for source in tests/"$suite"/test_*.c; do
            [ -e "$source" ] || continue
            run_cmocka "$BUILD/tests/$suite/$(basename "$source" .c)"
        done
        ;;
    sim)
        [ -x "$BUILD/bin/simrun" ] && run_command simulator "$BUILD/bin/simrun" --seed 1 --seeds "${SIM_SEEDS:-300}"
        ;;
    layers)
        run_command layers sh tests/check_layers.sh
        ;;
    esac
done

[ -n "$failures" ] && echo "failed:$failures"
if [ "$skipped" -ne 0 ]; then
    echo "$passed passed, $failed failed, $skipped skipped"
else
    echo "$passed passed, $failed failed"
fi
[ "$failed" -eq 0 ]
