#!/usr/bin/env bash
# lint.sh - what the analyzers find; silent but for one line a gate. Gates named as arguments run alone.
#   lint.sh [format] [headers] [fanalyzer] [tidy] [cppcheck]
#   LINT_CHANGED=1   tidy and fanalyzer look only at sources that differ from $LINT_BASE (main, or its parent)
#   JOBS=n           how many files at once (number of processors)
set -euo pipefail
cd "$(dirname "$0")/.."

JOBS=${JOBS:-$(nproc)}
PRODUCT="base schema service agent trainer cli"
read -ra FLAGS <<<"-std=gnu17 -D_GNU_SOURCE -I. $(pkg-config --cflags libmicrohttpd jansson sqlite3 libcurl openblas libxxhash)"

# gcc 12 loses a pointer that is stored behind another pointer and calls it leaked; LeakSanitizer (make test-asan)
# watches these files. Whatever else leaks on a path is found here, CLEANUP() included.
LEAK_MISREAD=" base/http_client.c agent/runner/orders.c service/api/agent_telemetry.c service/desired.c service/live.c
    service/store/telemetry.c trainer/predict_rows.c trainer/predict_seen.c trainer/sync/allreduce.c "

# The text of cpu_lstm_portable.c, which is analyzed, on vector builtins, of which gcc 12 knows nothing: minutes each.
PORTABLE_IS_ENOUGH=" trainer/compute/cpu/cpu_lstm_avx2.c trainer/compute/cpu/cpu_lstm_avx512.c "

# sources PATTERN FOLDERS...: files of the tree, also those not yet added.
sources() {
    local pattern=$1
    shift
    git ls-files -co --exclude-standard -- "$@" | grep -E "$pattern" | while read -r file; do
        [ ! -e "$file" ] || echo "$file"
    done
}

# changed: of the paths on stdin those that LINT_CHANGED leaves.
changed() {
    if [ "${LINT_CHANGED:-}" != 1 ]; then
        cat
        return
    fi
    local base=${LINT_BASE:-main}
    if [ "$(git rev-parse -q --verify "$base")" = "$(git rev-parse HEAD)" ] || ! git rev-parse -q --verify "$base" >/dev/null; then
        base=HEAD~1
    fi
    grep -Fxf <({ git diff --name-only "$base"; git ls-files -o --exclude-standard; } | sort -u) || true
}

# each COMMAND...: runs it for every path on stdin, JOBS at once; 123 if any failed.
each() {
    xargs -r -P "$JOBS" -n 1 bash tests/lint.sh "$@"
}

lint_format() {
    sources '\.[ch]$' . | xargs clang-format --dry-run -Werror
}

lint_headers() {
    sources '\.h$' . | each one_header
}

one_header() {
    gcc "${FLAGS[@]}" -fsyntax-only -Wall -Werror -include "$1" -x c /dev/null || {
        echo "$1: does not compile alone"
        return 1
    }
}

lint_fanalyzer() {
    # shellcheck disable=SC2086
    sources '\.c$' $PRODUCT | changed | each one_fanalyzer
}

# At -O0: optimisation hides from the analyzer what it looks for.
one_fanalyzer() {
    local extra=()
    case $PORTABLE_IS_ENOUGH in *" $1 "*) return 0 ;; esac
    case " $(echo $LEAK_MISREAD) " in *" $1 "*) extra=(-Wno-analyzer-malloc-leak) ;; esac
    gcc "${FLAGS[@]}" -O0 -fanalyzer -Werror ${extra[@]+"${extra[@]}"} -c "$1" -o /dev/null
}

lint_tidy() {
    # The long ones first, so that none runs alone at the end.
    sources '\.c$' . | changed | xargs -r ls -S | each one_tidy
}

one_tidy() {
    local out
    out=$(clang-tidy --quiet "$1" -- "${FLAGS[@]}" 2>/dev/null) || {
        echo "$out"
        return 1
    }
}

lint_cppcheck() {
    # shellcheck disable=SC2086
    cppcheck --std=c11 --enable=warning,portability,performance --inline-suppr --error-exitcode=1 -q -j "$JOBS" \
        --suppress=memleak --suppress=resourceLeak `# no knowledge of CLEANUP()` \
        --suppress=missingIncludeSystem --suppress=varFuncNullUB `# NULL is a pointer in C here` \
        -I. -D_GNU_SOURCE -D__linux__ \
        '-Djson_object_foreach(object,key,value)=while(next_of(object,&(key),&(value)))' \
        '-Djson_array_foreach(array,index,value)=while(next_of(array,&(index),&(value)))' \
        $PRODUCT
}

case ${1:-} in
one_*)
    "$@"
    exit
    ;;
esac
[ $# -gt 0 ] || set -- format headers cppcheck fanalyzer tidy
bad=0
for gate in "$@"; do
    begin=$SECONDS
    word=clean
    "lint_$gate" || word=FAILED bad=1
    [ $word = clean ] || bad=1
    printf 'lint: %-10s %s, %d s\n' "$gate" "$word" $((SECONDS - begin))
done
exit $bad
