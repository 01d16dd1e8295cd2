#!/bin/bash
# redis-server with faults in its calls.
SERVER=redis-server
# shellcheck source=common.sh
. "${0%/*}/common.sh"

test_answers_the_same_in_a_session() {
    # shellcheck disable=SC2016 # the client's shell expands them
    answers_are_the_same 'redis-cli -h $SNAG_HOST -p $SNAG_PORT echo hello; redis-cli -h $SNAG_HOST -p $SNAG_PORT incr n'
}

# At EMFILE redis logs and tries again at once.
test_emfile_burst_is_ridden_out() {
    session -e 'accept4:error=EMFILE:when=1..50'
    expect_status 0
    expect_injected 50
    expect_clients 20
    expect_verdict served
    expect_equal 'log lines' "$(grep -c 'Accepting client connection: accept: Too many open files' out)" 50
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

# It forks, its parent ends, and it is nobody's child: it is followed and stopped all the same (the harness would find it).
test_daemon_is_followed_and_stopped() {
    prepare
    server+=(--daemonize yes --pidfile "$PWD/redis.pid" --logfile "$PWD/redis.log")
    session -e 'accept4:error=EMFILE:when=1..5'
    expect_status 0
    expect_injected 5
    expect_clients 20
    expect_verdict served
    expect_has redis.log 'Too many open files'
}

test_taken_port_ends_it_as_a_real_one() {
    taken_port_is_as_real 1
    expect_has out 'bind: Address already in use'
}

tests_main "$@"
