#!/bin/bash
# The tests of `snag run` again, under the seccomp backend.  Left out are those that are about the shim itself.
. "${0%/*}/harness.sh"

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
        cat result
        fail 'not under seccomp'
    }
    tail -n 1 result
}

test_of_run() {
    under_seccomp run_test.sh test_trace test_an_existing_preload_is_kept test_servers_with_address_sanitizer test_map_of_the_files
}

test_of_run_client() {
    under_seccomp run_client_test.sh
}

test_of_run_signals() {
    under_seccomp run_signals_test.sh
}

test_of_ctl() {
    under_seccomp ctl_test.sh
}

tests_main "$@"
