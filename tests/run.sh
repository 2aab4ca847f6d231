#!/bin/sh
# Runs suites and adds up what they say: tests/run.sh unit|sim|integration|layers|races|bench|fuzz ...
# Each cmocka binary prints its own tests; a binary that dies counts as one failure. A line "passed failed skipped"
# is also appended to the file $TALLY, when that is set, for whoever runs several suites (.ci/run).
#
# SANITIZED=1: the binaries are instrumented. What a sanitizer says in any program that a test starts, even in one
# whose end nobody looks at, goes to $BUILD/tests/sanitizer and fails that test.
set -u
BUILD=${BUILD:-build}
passed=0
failed=0
skipped=0
failures=""
reports="$(pwd)/$BUILD/tests/sanitizer"

mkdir -p "$BUILD/tests"
if [ -n "${SANITIZED:-}" ]; then
    rm -rf "$reports"
    mkdir -p "$reports"
    common="log_path=$reports/report:log_exe_name=1"
    export ASAN_OPTIONS="$common${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
    export UBSAN_OPTIONS="print_stacktrace=1:$common${UBSAN_OPTIONS:+:$UBSAN_OPTIONS}"
    races="halt_on_error=1:second_deadlock_stack=1:suppressions=$(pwd)/tests/tsan.supp"
    export TSAN_OPTIONS="$races:$common${TSAN_OPTIONS:+:$TSAN_OPTIONS}"
fi

# Moves what sanitizers said during the test $1 to its own folder; false if they said nothing.
sanitizer_spoke() {
    [ -n "${SANITIZED:-}" ] || return 1
    [ -n "$(find "$reports" -maxdepth 1 -type f -size +0 2>/dev/null)" ] || return 1
    mkdir -p "$reports/$1"
    mv "$reports"/report* "$reports/$1/"
}

count() { # name passed failed skipped log
    passed=$((passed + $2))
    failed=$((failed + $3))
    skipped=$((skipped + $4))
    if [ "$3" -ne 0 ]; then
        failures="$failures $1"
        echo "FAIL $1, see $5"
    fi
}

run_cmocka() {
    name=$(basename "$1")
    log="$BUILD/tests/$name.log"
    started=$(date +%s)
    # For what hangs; a slow machine must not come near it.
    timeout "${TEST_TIMEOUT:-900}" "$@" >"$log" 2>&1
    rc=$?
    [ "$rc" -eq 124 ] && echo "error: $name did not end within ${TEST_TIMEOUT:-900} s" >>"$log"
    p=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p' "$log" | awk '{s+=$1} END {print s+0}')
    f=$(sed -n 's/^\[  FAILED  \] \([0-9]*\) test.*/\1/p' "$log" | awk '{s+=$1} END {print s+0}')
    s=$(sed -n 's/^\[  SKIPPED \] \([0-9]*\) test.*/\1/p' "$log" | awk '{s+=$1} END {print s+0}')
    [ "$rc" -ne 0 ] && [ "$f" -eq 0 ] && f=1
    spoke=""
    if sanitizer_spoke "$name"; then
        spoke="$reports/$name"
        [ "$f" -eq 0 ] && f=1
    fi
    count "$name" "$p" "$f" "$s" "$log (exit $rc)"
    if [ "$f" -ne 0 ]; then
        grep -E '^\[  (ERROR|FAILED) |error: |ERROR: |runtime error|Sanitizer|assert' "$log" | head -40
        [ -n "$spoke" ] && head -n 60 "$spoke"/*
    else
        echo "ok   $name ($p passed$([ "$s" -ne 0 ] && echo ", $s skipped"), $(($(date +%s) - started)) s)"
    fi
}

run_command() {
    name=$1
    shift
    log="$BUILD/tests/$name.log"
    if "$@" >"$log" 2>&1; then
        count "$name" 1 0 0 "$log"
        echo "ok   $name: $(tail -n 1 "$log")"
    else
        count "$name" 0 1 0 "$log"
        tail -n 20 "$log"
    fi
}

# Shows what the program prints while it runs: benches take minutes.
run_shown() {
    name=$(basename "$1")
    log="$BUILD/tests/$name.log"
    echo "== $name"
    {
        "$@" 2>&1
        echo $? >"$log.rc"
    } | tee "$log"
    if [ "$(cat "$log.rc")" -eq 0 ]; then
        count "$name" 1 0 0 "$log"
    else
        count "$name" 0 1 0 "$log"
    fi
}

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
    races)
        for test in ${RACES:-}; do
            run_cmocka "$BUILD/tests/$test"
        done
        ;;
    bench)
        for source in tests/bench/bench_*.c; do
            run_shown "$BUILD/tests/bench/$(basename "$source" .c)"
        done
        ;;
    fuzz)
        for source in tests/fuzz/fuzz_*.c; do
            run_command "$(basename "$source" .c)" sh tests/fuzz/run.sh "$BUILD/tests/fuzz/$(basename "$source" .c)"
        done
        ;;
    *)
        echo "no suite $suite"
        exit 2
        ;;
    esac
done

[ -n "$failures" ] && echo "failed:$failures"
[ -n "${TALLY:-}" ] && echo "$passed $failed $skipped" >>"$TALLY"
if [ "$skipped" -ne 0 ]; then
    echo "$passed passed, $failed failed, $skipped skipped"
else
    echo "$passed passed, $failed failed"
fi
[ "$failed" -eq 0 ]
