#!/usr/bin/env bash
# deps.sh - the only list of packages that Reprise needs, and their installation on Debian and Ubuntu.
#   deps.sh            check; say what is missing and the command that installs it; exit 1 if any
#   deps.sh --yes      install what is missing (as root, or through sudo)
#   deps.sh --yes --ci also what only the gates need: clang, formatters, analyzers
set -euo pipefail

#   package                 why
runtime=(
    gcc                     "compiler"
    make                    "build"
    libc6-dev               "C library headers"
    binutils                "linker"
    pkg-config              "finds the libraries"
    libmicrohttpd-dev       "HTTP server of the controller"
    libjansson-dev          "JSON"
    libsqlite3-dev          "the controller's database"
    libcurl4-openssl-dev    "HTTP client of agent and CLI"
    libopenblas-dev         "matrix products on the CPU"
    libxxhash-dev           "checksums of checkpoints"
    zlib1g-dev              "compressed data sets"
    libzstd-dev             "compressed data sets"
    libssl-dev              "SHA-256"
    libcmocka-dev           "tests"
)
ci=(
    clang                   "second compiler"
    clang-format            "format gate"
    clang-tidy              "analyzer gate"
    cppcheck                "analyzer gate"
)
# Ubuntu 22.04 has them in clang's own packages.
grep -q '^VERSION_ID="22.04"' /etc/os-release 2>/dev/null || ci+=(libclang-rt-dev "clang's sanitizers and fuzzer")

install=no
list=("${runtime[@]}")
for argument in "$@"; do
    case $argument in
    --yes) install=yes ;;
    --ci) list+=("${ci[@]}") ;;
    --list)
        printf '%-22s %s\n' "${list[@]}"
        exit 0
        ;;
    *)
        sed -n '2,5s/^# //p' "$0"
        exit 64
        ;;
    esac
done

installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing=()
for ((i = 0; i < ${#list[@]}; i += 2)); do
    if ! installed "${list[i]}"; then
        missing+=("${list[i]}")
        printf 'missing: %-22s %s\n' "${list[i]}" "(${list[i + 1]})"
    fi
done
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
    echo "deps.sh knows Debian and Ubuntu only; install the equivalents of: ${missing[*]}" >&2
    exit 1
fi
packages="apt-get install -y --no-install-recommends ${missing[*]}"
if [ "$(id -u)" -eq 0 ]; then
    sudo=()
    once="apt-get update && $packages"
elif command -v sudo >/dev/null; then
    sudo=(sudo)
    once="sudo apt-get update && sudo $packages"
    # A password can be asked for only at a terminal.
    sudo -n true 2>/dev/null || [ -t 0 ] || install=no
else
    install=no
    once="su -c 'apt-get update && $packages'"
fi
if [ $install = no ]; then
    printf 'run this once, then try again:\n  %s\n' "$once" >&2
    exit 1
fi
echo "installing ${#missing[@]} package(s) with apt-get${sudo[*]:+ through sudo}"
apt_get() {
    ${sudo[@]+"${sudo[@]}"} env DEBIAN_FRONTEND=noninteractive apt-get "$@" | "$(dirname "$0")/ticker.sh"
}
apt_get update
apt_get install -y --no-install-recommends "${missing[@]}"
