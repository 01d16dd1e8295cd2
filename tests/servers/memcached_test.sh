#!/bin/bash
# memcached, two worker threads, with faults in its calls.
SERVER=memcached
# shellcheck source=common.sh
. "${0%/*}/common.sh"

test_answers_the_same_in_a_session() {
    cat >ask <<'EOT'
exec 3<>"/dev/tcp/$SNAG_HOST/$SNAG_PORT"
printf 'set k 0 0 3\r\nabc\r\nget k\r\nquit\r\n' >&3
cat <&3
EOT
    answers_are_the_same "bash '$PWD/ask'"
}

# After two failures in a row memcached listens no more until one of its clients goes.  When it has none, that is for ever.
test_emfile_without_clients_leaves_it_deaf() {
    CLIENT_MS=2000
    session -e 'accept4:error=EMFILE:when=1..2'
    expect_status 1
    expect_injected 2
    expect_clients 0
    expect_verdict deaf
}

test_eintr_is_retried() {
    session -e 'accept4:error=EINTR:when=1..5'
    expect_status 0
    expect_injected 5
    expect_clients 20
    expect_verdict served
}

# The kernel's ECONNABORTED takes the connection with it: those clients, and no others, are lost.
test_econnaborted_loses_those_clients_alone() {
    session -e 'accept4:error=ECONNABORTED:when=1..3:pending'
    expect_status 1
    expect_injected 3
    expect_clients 17 3
}

test_zero_length_address_is_served() {
    session -e 'accept4:socklen=0:when=1..5:pending'
    expect_status 0
    expect_injected 5
    expect_clients 20
}

test_taken_port_ends_it_as_a_real_one() {
    taken_port_is_as_real 71
    expect_has err 'Address already in use'
}

tests_main "$@"
