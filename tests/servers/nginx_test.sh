#!/bin/bash
# nginx, a master and a worker, with faults in its calls.
SERVER=nginx
# shellcheck source=common.sh
. "${0%/*}/common.sh"

test_answers_the_same_in_a_session() {
    answers_are_the_same "curl -s -i http://\$SNAG_HOST:\$SNAG_PORT/ | grep -v '^Date:'"
}

# At EMFILE nginx stops accepting for 500 ms: two in a row make it a second.
test_emfile_burst_is_waited_out() {
    session -e 'accept4:error=EMFILE:when=1..2'
    expect_status 0
    expect_injected 2
    expect_clients 20
    expect_json client.json '.first_ms > 900'
    expect_verdict served
    expect_equal 'log lines' "$(grep -c 'accept4() failed (24: Too many open files)' err)" 2
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

# nginx can't name such a client, closes it, and goes on.
test_zero_length_address_costs_those_clients_alone() {
    session -e 'accept4:socklen=0:when=1..5:pending'
    expect_status 1
    expect_injected 5
    expect_clients 15 5
    expect_verdict served
}

test_daemon_is_followed_and_stopped() {
    prepare
    sed -i 's/^daemon off;/daemon on;/' server/nginx.conf
    session -e 'accept4:error=EINTR:when=1..5'
    expect_status 0
    expect_injected 5
    expect_clients 20
    expect_verdict served
}

test_taken_port_ends_it_as_a_real_one() {
    taken_port_is_as_real 1
    expect_has err 'failed (98: Address already in use)'
    expect_has err 'still could not bind()'
}

tests_main "$@"
