#!/bin/sh
# The architecture as a test: who may include whom, where third-party names may stand, sizes, banned words.
set -u
bad=0
complain() {
    echo "$1"
    bad=1
}
files() {
    find "$@" -name '*.[ch]' 2>/dev/null | sort
}

# allow FOLDER ALLOWED...: project includes of FOLDER's own files must start with one of ALLOWED.
allow() {
    folder=$1
    shift
    for file in $(find "$folder" -maxdepth "${DEPTH:-1}" -name "*.[ch]" 2>/dev/null | sort); do
        for include in $(sed -n 's/^#include "\([^"]*\)".*/\1/p' "$file"); do
            fine=no
            for prefix in "$@"; do
                case $include in "$prefix"*) fine=yes ;; esac
            done
            [ $fine = yes ] || complain "$file: may not include $include"
        done
    done
}
DEPTH=9 allow base base/
DEPTH=9 allow schema schema/ base/
allow service service/ schema/ base/
allow service/brain service/brain/ base/error.h base/compiler.h base/id.h base/text.h schema/names.h schema/exit_code.h schema/progress_page.h
allow service/store service/store/ service/brain/ schema/names.h base/
allow service/http service/http/ schema/names.h base/
allow service/blobs service/blobs/ base/
allow service/notify service/notify/ service/store/ base/
allow service/api service/api/ service/http/ service/loop service/live service/worker service/store/ service/blobs/ service/brain/ schema/ base/
allow agent agent/ schema/ base/
allow agent/runner agent/runner/ schema/progress_page.h schema/exit_code.h base/version.h
allow trainer trainer/ schema/ base/
allow trainer/model trainer/model/ trainer/compute/compute.h trainer/data/data.h trainer/data/philox.h schema/ base/
allow trainer/data trainer/data/ schema/ base/
allow trainer/optim trainer/optim/ trainer/compute/compute.h schema/ base/
allow trainer/sync trainer/sync/ trainer/comm/comm.h trainer/compute/compute.h trainer/optim/optim.h schema/ base/
allow trainer/comm trainer/comm/ schema/ base/
DEPTH=9 allow trainer/compute trainer/compute/ trainer/data/philox.h base/
allow trainer/export trainer/export/ schema/ base/
allow cli cli/ schema/ base/

# only PATTERN FOLDERS...: identifiers that may stand in these places alone.
only() {
    pattern=$1
    shift
    for file in $(files base schema service agent trainer cli); do
        grep -qE "$pattern" "$file" || continue
        fine=no
        for place in "$@"; do
            case $file in "$place"*) fine=yes ;; esac
        done
        [ $fine = yes ] || complain "$file: $pattern may stand only in $*"
    done
}
only '\bsqlite3_' service/store/
only '\bMHD_' service/http/
only '\bcurl_easy|\bCURL' base/http_client
only '\bcblas_|\bopenblas_' trainer/compute/cpu/
only '\bnccl[A-Z]' trainer/comm/nccl
only '\bgetenv\(' base/option base/env

for file in $(files base schema service agent trainer cli tests); do
    lines=$(wc -l <"$file")
    [ "$lines" -le 800 ] || complain "$file: $lines lines, over 800"
    grep -nE '\b(strcpy|strcat|sprintf|strncpy|strtok|gets|atoi|atof|localtime|gmtime|alloca|system|popen)\(' "$file" | sed "s|^|$file:|" | grep . && bad=1
    grep -n 'NDEBUG' "$file" && bad=1
    grep -nE '^[^"]*(^|[^:"])//' "$file" | sed "s|^|$file:|" | grep . && bad=1
done

# Function bodies: from a brace in column 0 to a brace in column 0.
for file in $(files base schema service agent trainer cli); do
    awk -v file="$file" '/^{/ {start = NR} /^}/ {if (start && NR - start > 71) {printf "%s:%d: function of %d lines, over 70\n", file, start, NR - start - 1; bad = 1} start = 0} END {exit bad}' "$file" || bad=1
done

[ $bad -eq 0 ] && echo "layers: all arrows point down"
exit $bad
