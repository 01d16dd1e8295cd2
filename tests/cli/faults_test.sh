#!/bin/bash
# `snag faults`: what the calls can fail with.
. "${0%/*}/harness.sh"

test_all_calls_are_listed() {
    run "$SNAG" faults
    expect_status 0
    expect_empty err
    expect_match out '^CALL +ERRNOS$'
    expect_match out '^accept4 +EAGAIN EINTR ECONNABORTED EMFILE'
    expect_match out '^listen +EADDRINUSE EINVAL EOPNOTSUPP EBADF ENOTSOCK EACCES ENOBUFS$'
    expect_match out '^%accept +accept accept4$'
    expect_match out '^%setup +socket setsockopt bind listen$'
    # Every call of the table has a line, and so has a page of its own.
    mv out all
    sed -n -E 's/^(CALL|SYSCALL)\(([a-z0-9_]*),.*/\2/p' "$tests_root/inject/engine/calls.def" >calls
    [ "$(wc -l <calls)" -gt 10 ] || fail 'no rows in calls.def'
    while read -r call; do
        expect_match all "^$call +E"
        run "$SNAG" faults "$call"
        expect_status 0
        expect_match out '^Actions: +error= retval= '
    done <calls
}

test_a_call_in_full() {
    run "$SNAG" faults accept4
    expect_status 0
    expect_empty err
    expect_lines out <<'EOT'
ERRNO            CONNECTION  LASTS  CAUSE
EAGAIN           none        burst  the queue is empty; *
EINTR            kept        burst  a signal came *
ECONNABORTED     consumed    burst  the peer went *
EMFILE           kept        held   RLIMIT_NOFILE is reached
...
ENOSYS           kept        held   *

Actions:     error= retval= socklen= family= fdmin= delay_enter= delay_exit= signal=
Filters:     queue= pending fd= port= local= path= type=
Connection:  what becomes of a pending one: kept in the queue, consumed (taken out and reset), or
             none is touched.
Lasts:       how long it can go on while a client waits: once, for a burst, or held.
EOT
}

test_calls_differ_in_what_they_take() {
    run "$SNAG" faults listen
    expect_has out 'Actions:     error= retval= backlog= delay_enter= delay_exit= signal='
    expect_has out 'Filters:     pending fd= port= local= path= type='
    run "$SNAG" faults socket
    expect_has out 'Actions:     error= retval= delay_enter= delay_exit= signal='
    expect_has out 'Filters:     type='
    run "$SNAG" faults poll
    expect_has out 'Filters:     none of its own'
}

test_lines_fit_100_columns() {
    { "$SNAG" faults && for call in $("$SNAG" faults | awk '/^[a-z]/ { print $1 }'); do "$SNAG" faults "$call"; done; } >all
    [ "$(wc -l <all)" -gt 100 ] || fail 'the pages are missing'
    [ "$(awk 'length > 100' all | wc -l)" = 0 ] || fail 'a line is longer than 100 columns'
    ! grep -q ' $' all || fail 'a line ends in blanks'
}

test_unknown_call() {
    run "$SNAG" faults acept4
    expect_status 125
    expect_empty out
    expect_lines err <<<"snag: unknown call 'acept4'; did you mean accept4?"
    run "$SNAG" faults fork
    expect_status 125
    expect_lines err <<<"snag: unknown call 'fork'; \`snag faults\` lists the calls"
}

test_bad_usage() {
    run "$SNAG" faults accept accept4
    expect_status 125
    expect_empty out
    expect_has err 'snag: faults: one call at a time'
    run "$SNAG" faults --all
    expect_status 125
    expect_has err "snag: faults: unknown option '--all'"
}

test_help() {
    run "$SNAG" faults --help
    expect_status 0
    expect_empty err
    expect_has out 'usage: snag faults [CALL]'
    run "$SNAG" faults --version
    expect_status 0
    expect_match out '^snag [0-9.]+ \(commit .+\)$'
}

test_full_disk_is_noticed() {
    run bash -c "exec '$SNAG' faults >/dev/full"
    expect_status 125
    expect_lines err <<<'snag: standard output: No space left on device'
}

tests_main "$@"
