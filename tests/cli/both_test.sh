#!/bin/bash
# The tests of `snag run` again, under the seccomp backend.  Left out are those that are about the shim itself.
. "${0%/*}/harness.sh"
# shellcheck source=../../scripts/servers.sh
. "$tests_root/scripts/servers.sh"

# All tests of FILE but those named behind it.
under_seccomp() {
    local file="$tests_root/tests/cli/$1" name names=()
    shift
    for name in $("$file" --list); do
        case " $* " in
        *" $name "*) ;;
        *) names+=("$name") ;;
        esac
    done
    SNAG_BACKEND=seccomp "$file" "${names[@]}" >result || {
        grep -v "^ok " result
        fail 'not under seccomp'
    }
    tail -n 1 result
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
    under_seccomp ctl_test.sh test_rules_with_call_sites_can_be_added test_rules_without_call_sites_are_refused \
        test_there_are_only_so_many_functions test_a_session_that_is_stopped
}

# explored BACKEND SERVER: what an exploration says of one of Debian's servers, a case a line.
explored() {
    server_prepare "$2" "$(free_port)" "$PWD/$2-$1"
    run "$SNAG" explore --backend "$1" --sites accept,accept4 --faults EMFILE,ECONNABORTED,EINTR,socklen=0 --modes once,burst \
        --connect -o "out.$2.$1" -- "${server[@]}"
    jq -r '.cases[] | [.call, .fault, .mode, .verdict] | join(" ")' "out.$2.$1/summary.json" | sort >"cases.$1"
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
