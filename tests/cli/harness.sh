# shellcheck shell=bash
# harness.sh - what a shell test needs.  A test file sources it, defines functions named test_*, and ends with
#
#     tests_main "$@"
#
# Each test runs in a process and an empty folder of its own, with a time limit ($TEST_SECONDS, 60).  It fails when an
# expect_* does, when a command ends it (set -e), when it is not done in time, and when it leaves a process behind.  The
# file takes names (globs) of the tests to run, or --list; the last line is "N passed, N failed".
#
#   run [-t SECONDS] [-i FILE] COMMAND...   runs it to its end (60 s); then $status, and the files $out and $err
#   set_others_apart FILE                   takes out what was said of other tests' sessions; `run` does so with $err
#   start COMMAND...                        in the background, output in the files $pid.out and $pid.err; its id in $pid
#   stop PID [SIGNAL]                       ends what `start` started, and waits; its status is in $status
#   wait_for SECONDS COMMAND...             until it succeeds; fails the test when it did not in time
#   free_port                               prints the number of a TCP port that nobody listens on
#   program NAME                            path of a program of tests/cli/servers
#   reachable FILE...                       every user may enter the test's folder, and finds there FILEs and what $SNAG is now
#   expect_status N                         what `run` or `stop` saw
#   expect_lines FILE <<< LINES             FILE is exactly these lines: * and ? are globs, a line ... is any lines
#   expect_has FILE TEXT                    a line has TEXT in it;  expect_lacks: no line has
#   expect_match FILE REGEX                 a line matches (grep -E)
#   expect_empty FILE
#   expect_json FILE FILTER                 jq's FILTER is true for the JSON in FILE
#   expect_equal WHAT GOT WANTED
#   fail TEXT...

set -u

tests_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD_DIR=${BUILD_DIR:-build}
case $BUILD_DIR in
/*) build=$BUILD_DIR ;;
*) build=$tests_root/$BUILD_DIR ;;
esac
# What the tests use; some of it only in the files that source this one.
# shellcheck disable=SC2034
SNAG=$build/snag SHIM=$build/libsnag.so LISTENER_ECHO=$build/listener-echo
# With $SNAG_BACKEND, the tests see snag with that backend.
[ -z "${SNAG_BACKEND-}" ] || SNAG=$tests_root/tests/cli/with_backend
export BUILD_DIR
TEST_SECONDS=${TEST_SECONDS:-60}
export LC_ALL=C

# A server under test has the descriptors that a test gives it, and none that whoever runs the tests has left open.
close_inherited() {
    local entry fd
    for entry in /proc/self/fd/*; do
        fd=${entry##*/}
        # 255 is bash's own, for the file that it reads.
        if [ "$fd" -gt 2 ] && [ "$fd" != 255 ]; then eval "exec $fd>&-"; fi
    done
}
close_inherited

out=out err=err status="" pid=""

# Ends the test, with the line of the test file that led here.
fail() {
    local i=0
    while [ "${BASH_SOURCE[i + 1]-}" = "${BASH_SOURCE[0]}" ]; do i=$((i + 1)); done
    printf '%s:%s: %s\n' "${0##*/}" "${BASH_LINENO[i]}" "$*"
    exit 1
}

# Shows a file in a report.
show() {
    [ -s "$1" ] || { echo "  ($1 is empty)"; return 0; }
    echo "  $1:"
    tail -n 60 "$1" | sed 's/^/  > /'
}

run() {
    local seconds=60 input=/dev/null
    while :; do
        case $1 in
        -t) seconds=$2; shift 2 ;;
        -i) input=$2; shift 2 ;;
        *) break ;;
        esac
    done
    status=0
    timeout -k 5 "$seconds" "$@" <"$input" >$out 2>$err || status=$?
    set_others_apart $err
    if [ $status = 124 ] && [ "${RUN_MAY_GIVE_124-}" = "" ]; then
        show $out
        show $err
        fail "not done after $seconds s: $*"
    fi
    if grep -qE 'ERROR: [A-Za-z]+Sanitizer|: runtime error: ' $err; then
        show $err
        fail "a sanitizer's report from: $*"
    fi
}

# What sessions left that another test has killed is said by whoever comes next, whatever that test is about: those lines of
# FILE are put into the file `others`.
set_others_apart() {
    local said='^snag: (killed .*, left over from a session that was killed|removed what .* killed had left)$'
    ! grep -E "$said" "$1" >others || sed -i -E "/$said/d" "$1"
}

started=
start() {
    (exec "$@" </dev/null >"$BASHPID.out" 2>"$BASHPID.err") &
    pid=$!
    touch "$pid.out" "$pid.err"
    started="$started $pid"
}

# Whether PID runs (a zombie does not).
runs() {
    [ -r "/proc/$1/stat" ] && ! grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null
}

ended() {
    ! runs "$1"
}

stop() {
    kill -s "${2:-TERM}" "$1" 2>/dev/null || :
    wait_for 20 ended "$1"
    status=0
    wait "$1" || status=$?
}

wait_for() {
    local seconds=$1 end
    printf -v end '%.0f' "${1}e6"
    end=$((end + ${EPOCHREALTIME/./}))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "${EPOCHREALTIME/./}" -lt $end ] || fail "not so after $seconds s: $*"
        sleep 0.02
    done
}

program() {
    printf '%s\n' "$build/tests/$1"
}

# The project may be in a folder that is its user's alone, as root's home is.
reachable() {
    cp "$build/snag" "$SHIM" "$@" .
    chmod 777 .
    BUILD_DIR=$PWD SNAG=$PWD/snag
    if [ -n "${SNAG_BACKEND-}" ]; then
        cp "$tests_root/tests/cli/with_backend" .
        SNAG=$PWD/with_backend
    fi
}

free_port() {
    "$build/tests/free_port"
}

expect_equal() {
    [ "$2" = "$3" ] || fail "$1 is '$2', not '$3'"
}

expect_status() {
    [ "$status" = "$1" ] && return 0
    show $out
    show $err
    fail "exit status $status, not $1"
}

# Whether the lines from $1 on of the array `got` are those from $2 on of `want`.
lines_match() {
    local g=$1 w=$2
    while [ "$w" -lt ${#want[@]} ]; do
        if [ "${want[w]}" = ... ]; then
            for (( ; g <= ${#got[@]}; g++)); do
                lines_match "$g" $((w + 1)) && return 0
            done
            return 1
        fi
        # A glob is meant.
        # shellcheck disable=SC2053
        [ "$g" -lt ${#got[@]} ] && [[ ${got[g]} == ${want[w]} ]] || return 1
        g=$((g + 1)) w=$((w + 1))
    done
    [ "$g" -eq ${#got[@]} ]
}

expect_lines() {
    local got want
    mapfile -t got <"$1"
    mapfile -t want
    lines_match 0 0 && return 0
    printf '  %s\n' "${want[@]/#/< }"
    show "$1"
    fail "$1 (>) is not what is wanted (<)"
}

expect_has() {
    grep -qF -- "$2" "$1" && return 0
    show "$1"
    fail "no line of $1 has '$2'"
}

expect_lacks() {
    grep -qF -- "$2" "$1" || return 0
    show "$1"
    fail "a line of $1 has '$2'"
}

expect_match() {
    grep -qE -- "$2" "$1" && return 0
    show "$1"
    fail "no line of $1 matches /$2/"
}

expect_empty() {
    [ -s "$1" ] || return 0
    show "$1"
    fail "$1 is not empty"
}

expect_json() {
    jq -e "$2" "$1" >/dev/null 2>jq.err && return 0
    show jq.err
    show "$1"
    fail "$1: not true: $2"
}

# --- How a file of tests is run ---

# The processes that a test left: by a mark in their environment, by their folder, or by their session.
left_behind() {
    {
        grep -lsF "SNAG_TEST_FOLDER=$1" /proc/[0-9]*/environ | cut -d/ -f3
        find /proc/[0-9]*/cwd -prune -lname "$1*" 2>/dev/null | cut -d/ -f3
        ps -o pid= -s "$2" | tr -d ' '
    } | sort -un | while read -r left; do
        [ "$left" = "$$" ] || [ "$left" = "$BASHPID" ] || ! runs "$left" || echo "$left"
    done
}

# Ends what `start` started and the test did not stop.
end_started() {
    local p
    for p in $started; do
        kill -TERM "$p" 2>/dev/null || continue
        (wait_for 10 ended "$p") || kill -KILL "$p" || :
    done
}

# Runs the test function $1: this is the child's side.
test_one() {
    set -eu -o pipefail
    cd "$SNAG_TEST_FOLDER"
    trap end_started EXIT
    trap 'exit 143' TERM
    "$1"
}

# Runs the test $1 of this file in a process of its own, and says how it went.
test_run() {
    local folder code=0 begin=${EPOCHREALTIME/./} pid left
    folder=$(mktemp -d "${TMPDIR:-/tmp}/snag-test.XXXXXX")
    chmod 711 "$folder"
    SNAG_TEST_FOLDER=$folder setsid timeout -k 3 "$TEST_SECONDS" bash "$0" --one "$1" >"$folder.log" 2>&1 </dev/null &
    pid=$!
    trap 'kill -TERM $pid; wait $pid; exit 143' TERM INT
    wait $pid || code=$?
    trap - TERM INT
    left=$(left_behind "$folder" $pid)
    if [ -n "$left" ]; then
        [ $code != 0 ] || code=left
        for p in $left; do
            printf 'left behind: %s %s\n' "$p" "$(tr '\0' ' ' <"/proc/$p/cmdline" 2>/dev/null)" >>"$folder.log"
            kill -KILL "$p" 2>/dev/null
        done
    fi
    case $code in
    0) printf 'ok   %s (%d ms)\n' "$1" $(((${EPOCHREALTIME/./} - begin) / 1000)) ;;
    124 | 137) printf 'FAIL %s: not done after %s s\n' "$1" "$TEST_SECONDS" ;;
    left) printf 'FAIL %s: left a process behind\n' "$1" ;;
    *) printf 'FAIL %s\n' "$1" ;;
    esac
    if [ $code != 0 ]; then
        sed 's/^/    | /' "$folder.log"
        printf '    again: %s%s %s\n' "$([ "$BUILD_DIR" = build ] || echo "BUILD_DIR=$BUILD_DIR ")" "$0" "$1"
    fi
    rm -rf "$folder" "$folder.log"
    [ $code = 0 ]
}

tests_main() {
    local passed=0 failed=0 name names wanted
    if [ "${1-}" = --one ]; then
        test_one "$2"
        exit 0
    fi
    names=$(sed -n 's/^\(test_[a-z0-9_]*\)().*/\1/p' "$0")
    if [ "${1-}" = --list ]; then
        echo "$names"
        exit 0
    fi
    for name in $names; do
        for wanted in "${@:-*}"; do
            # shellcheck disable=SC2053
            [[ $name == $wanted ]] || continue
            if test_run "$name"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
            break
        done
    done
    echo "$passed passed, $failed failed"
    [ $failed = 0 ] && [ $passed -gt 0 ]
    exit
}
