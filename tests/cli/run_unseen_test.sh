#!/bin/bash
# What a server does past the shim is said: io_uring, set up by syscall(2) or by an instruction of its own, and accepts that
# libc does not make.  Where the kernel has no io_uring for us, the tests of it see that nothing is said.
. "${0%/*}/harness.sh"

PAST=$(program past) TINY=$(program tiny)
RULE=accept:error=EMFILE:when=1
ECHO=(--send hi --expect hi)

# The kernel may have none, or a sandbox forbid it.
has_io_uring() {
    local status=0
    "$PAST" inline nonsense 2>said & local server=$!
    for ((i = 0; i < 100; i++)); do
        [ -e "/proc/$server/fd" ] || break
        find "/proc/$server/fd" -lname '*io_uring*' 2>/dev/null | grep -q . && break
        sleep 0.02
    done
    kill "$server" 2>/dev/null
    wait "$server" || status=$?
    [ "$status" != 77 ] || { cat said; return 1; }
}

none_here() {
    echo 'this kernel has no io_uring for us: seen that nothing is said'
    expect_lacks err 'uses io_uring'
}

test_ring_by_syscall() {
    run "$SNAG" run --summary sum.json -e $RULE "${ECHO[@]}" -- "$PAST" ring 0
    expect_status 0
    has_io_uring || { none_here; return 0; }
    expect_equal 'times said' "$(grep -c 'uses io_uring' err)" 1
    expect_match err '^snag: [0-9]+ \(past\) uses io_uring: what it does through it is invisible to this backend; io_uring_setup:error=ENOSYS refuses it$'
    expect_match err '^snag: [0-9]+ \(past\) has accepted on 127\.0\.0\.1:[0-9]+ through io_uring: no rule acts there$'
    expect_match err '^snag: rule 1, .*: never matched$'
    expect_json sum.json '.unseen | length == 1 and .[0].comm == "past" and .[0].io_uring and (.[0].accepted | startswith("127.0.0.1:"))'
}

# A connection is all that is asked for, and no record tells that it was accepted: the kernel's table does.
test_connection_through_a_ring() {
    local backend
    for backend in preload seccomp; do
        run "$SNAG" run --backend $backend -e listen:delay_enter=1ms --connect -- "$PAST" ring 0
        expect_status 0
        has_io_uring || { none_here; return 0; }
        expect_match err '^snag: verdict: served: 1 of 1 clients answered, .*\(its accept was not seen\); 1 fault injected$'
    done
    run "$SNAG" explore -o tried --backend seccomp --sites socket --faults EMFILE --connect -- "$PAST" ring 0
    expect_status 0
    expect_has err 'snag: the server uses io_uring: the calls that it makes through it are invisible'
    expect_json tried/summary.json '[.cases[].verdict] == ["declined"]'
}

# Refused, it accepts as others do, and the other rule finds its call.
test_ring_is_refused() {
    run "$SNAG" run --summary sum.json -e $RULE -e io_uring_setup:error=ENOSYS "${ECHO[@]}" -- "$PAST" ring 0
    expect_status 0
    expect_has err 'past: io_uring_setup: Function not implemented'
    expect_lacks err 'uses io_uring'
    expect_lacks err 'has accepted'
    expect_match err '^snag: rule 1, .*: matched [0-9]+, injected 1$'
    expect_match err '^snag: rule 2, .*: matched 1, injected 1$'
    expect_json sum.json '.unseen == []'
}

test_ring_by_its_own_instruction() {
    run "$SNAG" run -e io_uring_setup:error=ENOSYS "${ECHO[@]}" -- "$PAST" inline 0
    if [ "$status" = 77 ] || grep -q 'past: io_uring_setup' err; then
        none_here
        return 0
    fi
    expect_status 0
    expect_equal 'times said' "$(grep -c 'uses io_uring' err)" 1
    expect_match err '^snag: [0-9]+ \(past\) uses io_uring: .*; it set it up without libc, so no rule can refuse it$'
    expect_match err '^snag: rule 1, .*: never matched$'
    run "$SNAG" run --strict -e io_uring_setup:error=ENOSYS "${ECHO[@]}" -- "$PAST" inline 0
    expect_status 125
}

# A trace says it while the server runs.
test_trace_says_it_at_once() {
    start "$SNAG" trace -e accept,io_uring_setup -- "$PAST" ring 0
    if has_io_uring; then
        wait_for 10 grep -q 'uses io_uring' "$pid.err"
        wait_for 10 grep -qE '^io_uring_setup\(4, \{flags=0, .*sq_entries=4, cq_entries=8, features=IORING_FEAT_.*\}\) = [0-9]+$' "$pid.err"
    else
        wait_for 10 grep -q '^io_uring_setup(4, {flags=0, .*}) = -1 E' "$pid.err"
        expect_lacks "$pid.err" 'uses io_uring'
    fi
    stop "$pid"
}

test_never_seen_ready() {
    run "$SNAG" run --ready-timeout 1s -e poll:error=EINTR --connect -- "$PAST" ring 0
    expect_status 125
    has_io_uring || { none_here; return 0; }
    expect_has err 'snag: the server was not ready within 1s: it uses io_uring, where a wait on a listening socket can'\''t be seen'
}

test_accepts_of_its_own() {
    run "$SNAG" run --summary sum.json -e $RULE "${ECHO[@]}" -- "$PAST" raw 0
    expect_status 0
    expect_match err '^snag: [0-9]+ \(past\) has accepted on 127\.0\.0\.1:[0-9]+ by a system call of its own, without libc: no rule acts there$'
    expect_equal 'times said' "$(grep -c 'has accepted' err)" 1
    expect_has err 'untested'
    expect_json sum.json '.unseen | length == 1 and (.[0].io_uring | not)'
}

# The connection of a command may be gone before anybody looks: that no accept was seen is said all the same.
test_accept_of_a_command_is_not_seen() {
    # shellcheck disable=SC2016
    local client='exec 3<>/dev/tcp/$SNAG_HOST/$SNAG_PORT; printf hi >&3; read -r -N 2 back <&3; [ "$back" = hi ]'
    run "$SNAG" run -e $RULE --client "bash -c '$client'" -- "$PAST" raw 0
    expect_status 0
    expect_match err '^snag: verdict: untested: .*\(its accept was not seen\)$'
    run "$SNAG" run -e accept:error=EMFILE:when=9 --client "bash -c '$client'" -- "$TINY" 0
    expect_status 0
    expect_lacks err 'was not seen'
}

# A server that accepts through libc is not suspected, whatever its rules do to it.
test_nobody_is_accused() {
    run "$SNAG" run --summary sum.json -e accept:delay_exit=1500ms:when=1 --connect --client-timeout 10s -- "$TINY" 0
    expect_status 0
    expect_lacks err 'has accepted'
    expect_json sum.json '.unseen == []'
}

tests_main "$@"
