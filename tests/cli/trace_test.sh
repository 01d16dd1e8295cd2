#!/bin/bash
# `snag trace`: what it prints, beside what strace prints of the same program; which calls; where it goes, and what happens
# when that can't be written.
. "${0%/*}/harness.sh"

TINY=$(program tiny)
CALLER=$(program caller)
CALLS=socket,setsockopt,bind,listen,accept,accept4,getsockname,fcntl,close,poll,ppoll
CALLS=$CALLS,epoll_create,epoll_create1,epoll_ctl,epoll_wait,epoll_pwait,epoll_pwait2
CALLS=$CALLS,socketpair,getsockopt,getpeername,shutdown,ioctl,dup,dup2,dup3,pipe2,io_uring_setup

# The lines of calls of a trace, from the program's own first on, without what differs from run to run.
comparable() {
    sed -n '/^socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC/,$p' "$1" |
        sed -E '/^(\+\+\+|snag: )/d; s/0x7f[0-9a-f]+/POINTER/g; s/htons\([0-9]+\)/htons(N)/g; s/pid=[0-9]+/pid=N/; s/, left \{[^}]*\}//'
}

# strace has no decoder for SO_RCVTIMEO's value, and shows that one raw.  (libc makes pselect6 of select, eventfd2 of
# eventfd and pipe2 of pipe.)  A machine that is frozen for a moment interrupts calls, which strace shows.
test_lines_are_those_of_strace() {
    local i
    command -v strace >/dev/null || { echo 'no strace here'; return 0; }
    for i in 1 2 3; do
        strace -o theirs -e trace=$CALLS,eventfd2 "$CALLER" 2>strace.err ||
            { grep -q 'not permitted' strace.err && { echo 'strace may not trace here'; return 0; }; }
        grep -q ERESTART_RESTARTBLOCK theirs || break
    done
    run "$SNAG" trace -e $CALLS,eventfd -- "$CALLER"
    expect_status 0
    expect_empty out
    comparable theirs | grep -v SO_RCVTIMEO | sed -E 's/^eventfd2(.*\))( {2,})= /eventfd\1\2 = /; s/^eventfd2/eventfd/' >want
    comparable err | grep -v SO_RCVTIMEO >got
    [ "$(wc -l <want)" -gt 140 ] || fail "strace shows too few calls"
    diff want got || fail "the lines differ (<: strace, >: snag)"
}

test_marks() {
    run "$SNAG" trace -e accept,listen -e accept:error=EMFILE:when=1 -e accept:delay_enter=1ms:when=2 \
        -e listen:backlog=1 --connect -- "$TINY" 0
    expect_status 0
    grep -v '^snag: ' err >calls
    expect_lines calls <<'EOT'
tiny: accept: Too many open files
listen(3, 1)                            = 0 (INJECTED: args)
accept(3, NULL, NULL)                   = -1 EMFILE (Too many open files) (INJECTED)
accept(3, NULL, NULL)                   = 4 (DELAYED)
EOT
    expect_has err 'snag: verdict: served'
}

# A fault is shown though its call was not chosen; the accepts that the probe needs to be seen are not.
test_chosen_calls_alone() {
    run "$SNAG" trace -q -e bind -e accept:error=EMFILE:when=1 --connect -- "$TINY" 0
    # The server writes for itself: its line may come before, between or after ours.
    expect_equal "the server's line" "$(grep -cx 'tiny: accept: Too many open files' err)" 1
    grep -vx 'tiny: accept: Too many open files' err >calls
    expect_lines calls <<'EOT'
bind(3, {sa_family=AF_INET, sin_port=htons(0), sin_addr=inet_addr("127.0.0.1")}, 16) = 0
accept(3, NULL, NULL)                   = -1 EMFILE (Too many open files) (INJECTED)
EOT
    run "$SNAG" trace -q -e trace=%setup -- "$TINY" exits=3 0
    expect_status 3
    expect_lacks err close
    run "$SNAG" trace -e acept -- true
    expect_status 125
    expect_has err "unknown call 'acept'; did you mean accept?"
    run "$SNAG" trace --help
    expect_has out 'usage: snag trace'
    run "$SNAG" trace
    expect_has err 'snag trace -e accept4 -- SERVER'
}

test_two_processes_have_prefixes() {
    run "$SNAG" trace -q -e close -- sh -c "'$CALLER' & '$CALLER'; wait"
    expect_status 0
    sed -nE 's/^\[pid +([0-9]+)\] .*/\1/p' err | sort -u >pids
    [ "$(wc -l <pids)" -ge 2 ] || fail "fewer than two processes have a prefix"
    expect_equal 'lines that are no calls' "$(grep -cvE '^(\[pid +[0-9]+\] )?close\(-?[0-9]+\) += (0|-1 EBADF \(Bad file descriptor\))$' err)" 0
}

# With -o the calls go there alone, each with its arguments as text.
test_output_file() {
    run "$SNAG" trace -o trace -e accept:error=EMFILE:when=1 --connect -- "$TINY" 0
    expect_status 0
    expect_lacks err 'accept('
    jq -s . trace >all
    expect_json all '.[0].type == "session" and .[-1].type == "summary"'
    expect_json all '[.[] | select(.call == "socket")][0].args == ["AF_INET", "SOCK_STREAM|SOCK_CLOEXEC", "IPPROTO_IP"]'
    expect_json all '[.[] | select(.call == "bind")][0] | .local == "127.0.0.1:0" and .args[2] == "16"'
    expect_json all '[.[] | select(.call == "accept" and .ret >= 0)][0] | (.peer | startswith("127.0.0.1:")) and .args == ["3", "NULL", "NULL"]'
    run "$SNAG" run -o trace --connect -- "$TINY" 0
    expect_lacks trace '"args"'
    run "$SNAG" trace -o trace -- "$CALLER"
    jq -s . trace >all
    expect_json all '[.[] | select(.call == "getpeername" and .ret == 0)][0] | (.peer | startswith("127.0.0.1:")) and .addrlen == 16'
    expect_json all '[.[] | select(.call == "socketpair" and .ret == 0)][0] | .args[3] | test("^[[][0-9]+, [0-9]+[]]$")'
}

# The server writes a line in two parts, and a call made before the second comes to be printed in between, for records are
# held 50 ms: it waits for the line's end, at most 100 ms.  (A machine that is slow may take longer than that: so half of
# the lines may be broken, and with one of ours in each of them all would be.)
test_lines_stay_whole() {
    # shellcheck disable=SC2016
    run "$SNAG" trace -q -e socket -- bash -c 'for ((i = 0; i < 10; i++)); do
            printf "first half, " >&2; (exec 3<>/dev/udp/127.0.0.1/9); sleep 0.09; printf "second half\n" >&2; done'
    expect_status 0
    local whole
    whole=$(grep -c '^first half, second half$' err)
    [ "$whole" -ge 5 ] || fail "only $whole of 10 lines of the server's are whole"
    expect_equal 'calls' "$(grep -cE '^(\[pid +[0-9]+\] )?socket\(.*\) += [0-9]+$' err)" 10
}

# A line that is never ended holds ours up for a moment, not for ever.
test_a_line_without_an_end() {
    start "$SNAG" trace -q -e listen -- sh -c "printf prompt: >&2; exec '$TINY' 0"
    wait_for 10 grep -q '^listen(3' "$pid.err"
    stop "$pid"
    expect_lines "$pid.err" <<'EOT'
prompt:
listen(3, 16)                           = 0
EOT
}

test_what_cant_be_written_ends_the_run() {
    status=0
    timeout 30 "$SNAG" trace -o /dev/full -- "$TINY" 0 2>err || status=$?
    expect_status 125
    expect_lines err <<<'snag: can'\''t write the trace /dev/full: No space left on device'
    status=0
    timeout 30 "$SNAG" trace -- "$TINY" 0 2>/dev/full || status=$?
    expect_status 125
    # The reader goes while the server lives: nothing hangs.  bash's loop is the server that never stops calling.
    # shellcheck disable=SC2016
    { timeout 30 "$SNAG" trace -e socket -- bash -c 'while :; do exec 3<>/dev/udp/127.0.0.1/9; sleep 0.01; done' || echo $? >status; } 2>&1 |
        head -n 2 >lines
    expect_match lines '^socket\('
    expect_equal 'exit status' "$(cat status)" 125
}

test_redis() {
    local port
    port=$(free_port)
    # shellcheck disable=SC2016
    run "$SNAG" trace -e accept4 -e accept4:error=EMFILE:when=1 --client 'redis-cli -h $SNAG_HOST -p $SNAG_PORT ping' -- \
        redis-server --port "$port" --bind 127.0.0.1 --save ''
    expect_status 0
    expect_has out PONG
    expect_match err '^accept4\([0-9]+, 0x[0-9a-f]+, \[128\], SOCK_CLOEXEC\|SOCK_NONBLOCK\) = -1 EMFILE \(Too many open files\) \(INJECTED\)$'
    expect_match err '^accept4\([0-9]+, \{sa_family=AF_INET, sin_port=htons\([0-9]+\), sin_addr=inet_addr\("127.0.0.1"\)\}, \[128 => 16\], SOCK_CLOEXEC\|SOCK_NONBLOCK\) = [0-9]+$'
}

test_bundled_listener() {
    run "$SNAG" trace -e %accept -e accept4:error=EMFILE:when=1..3 --connect -- "$LISTENER_ECHO"
    expect_status 0
    expect_equal 'injected' "$(grep -c '^accept4(.*= -1 EMFILE (Too many open files) (INJECTED)$' err)" 3
}

tests_main "$@"
