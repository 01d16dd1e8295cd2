#!/bin/bash
# The tests of `snag run` again, under the seccomp backend.  Left out are those that are about the shim itself.
. "${0%/*}/harness.sh"
# shellcheck source=../../scripts/servers.sh
. "$tests_root/scripts/servers.sh"

# The tests of FILE that are named behind it.
these_under_seccomp() {
    local file="$tests_root/tests/cli/$1"
    shift
    SNAG_BACKEND=seccomp "$file" "$@" >result || {
        grep -v "^ok " result
        fail 'not under seccomp'
    }
    tail -n 1 result
}

# All tests of FILE but those named behind it.
under_seccomp() {
    local file=$1 name names=()
    shift
    for name in $("$tests_root/tests/cli/$file" --list); do
        case " $* " in
        *" $name "*) ;;
        *) names+=("$name") ;;
        esac
    done
    these_under_seccomp "$file" "${names[@]}"
}

test_of_run() {
    under_seccomp run_test.sh test_trace test_an_existing_preload_is_kept test_servers_with_address_sanitizer test_map_of_the_files \
        test_each_wrapper_is_exported
}

test_of_run_client() {
    under_seccomp run_client_test.sh
}

test_of_run_signals() {
    under_seccomp run_signals_test.sh
}

test_of_ctl() {
    under_seccomp ctl_test.sh test_a_session_that_is_stopped
}

# Left out: signals that come as soon as accept waits find it waiting for us.
test_of_call_sites() {
    under_seccomp callsites_test.sh
    under_seccomp run_sites_test.sh test_exceptions_through_wrapped_calls test_libunwind_is_loaded_only_for_call_sites
}

# Those that tell cases apart by their call sites.
test_of_explore() {
    these_under_seccomp explore_test.sh test_two_listeners test_narrowed
}

# ids_of COMMAND...: the calls of a server, or of a program, and where they are made; those under seccomp into `outside`,
# which are the others, and what libc itself does.
ids_of() {
    local backend
    for backend in preload seccomp; do
        run "$SNAG" run --backend $backend -o "$backend.trace" "$@"
        expect_status 0
        jq -r 'select(.type == "call") | [.call, .site] | join(" ")' $backend.trace | sort -u >$backend.ids
    done
    comm -23 preload.ids seccomp.ids >missing
}

# A call site has one id, whoever saw it.
test_ids_of_call_sites() {
    local calls=trace=socket,setsockopt,bind,listen,accept,accept4 name
    for name in caller quiet; do
        ids_of -e $calls,poll -- "$(program $name)"
        [ "$(wc -l <preload.ids)" -ge 8 ] || fail "too few call sites of $name"
        [ ! -s missing ] || fail "$name: $(cat missing)"
    done
    chmod 755 .
    for name in memcached redis-server; do
        server_prepare $name "$(free_port)" "$PWD/$name"
        # shellcheck disable=SC2154 # set by server_prepare
        ids_of -e $calls --send "${exchange[1]}" --expect "${exchange[3]}" -- "${server[@]}"
        [ "$(wc -l <preload.ids)" -ge 5 ] || fail "too few call sites of $name"
        [ ! -s missing ] || fail "$name: $(cat missing)"
    done
}

# explored BACKEND SERVER: what an exploration says of one of Debian's servers, a case a line.
explored() {
    server_prepare "$2" "$(free_port)" "$PWD/$2-$1"
    run "$SNAG" explore --backend "$1" --sites accept,accept4 --faults EMFILE,ECONNABORTED,EINTR,socklen=0 --modes once,burst \
        --connect -o "out.$2.$1" -- "${server[@]}"
    jq -r '.cases[] | [.call, .fault, .mode, .site, .verdict] | join(" ")' "out.$2.$1/summary.json" | sort >"cases.$1"
}

test_verdicts_of_servers_of_debian() {
    local name
    chmod 755 .
    for name in nginx redis-server; do
        explored preload $name
        explored seccomp $name
        [ "$(wc -l <cases.preload)" -ge 6 ] || fail "too few cases of $name"
        diff cases.preload cases.seccomp || fail "the backends differ on $name"
    done
}

tests_main "$@"
