#!/bin/bash
# What `snag run` refuses: 125 for what snag can't do, 126 for what can't be executed, 127 for what is not there.
. "${0%/*}/harness.sh"

TINY=$(program tiny)

refused() {
    local text=$1
    shift
    run "$SNAG" run "$@"
    expect_status 125
    expect_has err "$text"
    expect_empty out
    expect_lacks err verdict
}

test_unknown_options_and_subcommands() {
    refused 'snag: unknown option --clint; did you mean --client?' --clint x -- true
    refused 'snag: unknown option --zzzzzz; see snag run --help' --zzzzzz -- true
    refused 'snag: unknown option -z' -z -- true
    refused 'snag: --client needs a value' --client
    refused 'snag: --strict=yes takes no value' --strict=yes -- true
    run "$SNAG" rum
    expect_status 125
    expect_has err "unknown subcommand 'rum'; did you mean run?"
}

test_missing_command() {
    refused 'no server given'
    refused 'no server given' -e accept:error=EMFILE --
}

test_options_that_contradict() {
    refused 'one client alone' --client true --http / -- true
    refused 'one client alone' --connect --send x --expect x -- true
    refused '--send needs --expect' --send x -- true
    refused '--client-timeout needs a client' --client-timeout 1s -- true
}

test_bad_values() {
    refused '--for 5: ' --for 5 -- true
    refused '--for 0s: must be above zero' --for 0s -- true
    refused '--ready-timeout 1x: ' --ready-timeout 1x -- true
    refused '--stop-timeout -1s: ' --stop-timeout -1s -- true
    refused '--stop-signal SIGNOPE: no such signal' --stop-signal SIGNOPE -- true
    refused '--seed x: ' --seed x -- true
    refused '--seed -1: ' --seed -1 -- true
    refused '--color maybe: ' --color=maybe -- true
    refused '--backend x: expected preload, seccomp or auto' --backend x -- true
    refused 'unknown escape' --send 'a\q' --expect x -- true
    refused 'unknown escape' --expect '\x4' -- true
    refused 'must not be empty' --expect '' -- true
    refused '--http index: ' --http index -- true
    refused '--http /a b: ' --http '/a b' -- true
}

# Nothing may run under half a plan.
test_a_plan_with_an_error_runs_nothing() {
    refused 'did you mean EMFILE?' -e accept4:error=EMFLE -- sh -c 'echo ran'
    refused '^' -e accept4:error=EMFLE -- true
    printf 'accept:error=EMFILE\naccept:error=EMFLE\n' >plan
    refused 'plan:2:' --plan plan -- sh -c 'echo ran'
    refused 'none: No such file or directory' --plan none -- sh -c 'echo ran'
    refused "can't fail with ENOENT" -e accept4:error=ENOENT -- sh -c 'echo ran'
}

# A FIFO might never have a writer; a pipe that snag was handed has one.
test_plans_that_are_no_files() {
    mkfifo fifo
    refused 'fifo: not a regular file' --plan fifo -- sh -c 'echo ran'
    refused '/dev/zero: not a regular file' --plan /dev/zero -- sh -c 'echo ran'
    run "$SNAG" run --plan <(echo accept:error=EMFILE) -- sh -c 'echo ran'
    expect_status 0
    expect_lines out <<<ran
}

test_more_rules_than_a_board_holds() {
    for ((i = 0; i < 129; i++)); do echo 'accept:error=EMFILE'; done >plan
    refused '128' --plan plan -- sh -c 'echo ran'
    for ((i = 0; i < 70; i++)); do echo '%accept:error=EMFILE'; done >plan
    refused 'too many rules for one board: --strace-counts makes 140' --strace-counts --plan plan -- sh -c 'echo ran'
}

test_programs_that_cannot_be_run() {
    echo 'echo no' >file
    mkdir folder
    run "$SNAG" run -- snag-no-such-program
    expect_status 127
    expect_lines err <<<'snag: snag-no-such-program: not found in PATH'
    run "$SNAG" run -- ./none
    expect_status 127
    run "$SNAG" run -- ./folder
    expect_status 126
    expect_lines err <<<'snag: ./folder is a directory'
    run "$SNAG" run -- ./file
    expect_status 126
    expect_lines err <<<'snag: ./file has no permission to be executed (chmod +x)'
    printf '#!/none/sh\n' >script
    chmod +x script
    run "$SNAG" run -- ./script
    expect_status 127
    expect_has err 'its interpreter'
}

# As with execvp(3): a script without #! is the shell's, and a file without the right does not end the search in PATH.
test_programs_are_found_as_by_a_shell() {
    echo 'echo plain; exit 4' >plain
    chmod +x plain
    run "$SNAG" run -- ./plain
    expect_status 4
    expect_lines out <<<plain
    mkdir first second
    echo no >first/prog
    printf '#!/bin/sh\necho second\n' >second/prog
    chmod +x second/prog
    run env PATH="$PWD/first:$PWD/second:$PATH" "$SNAG" run -- prog
    expect_status 0
    expect_lines out <<<second
    run env PATH="$PWD/first" "$SNAG" run -- prog
    expect_status 126
}

# A server that starts servers under snag itself would be under two sessions at once.
test_a_run_inside_a_run() {
    run "$SNAG" run -- "$SNAG" run -- sh -c 'echo ran'
    expect_status 125
    expect_lines err <<<'snag: this snag run was started by a server that is itself under snag run; *'
    expect_empty out
    # What a session that is over has left in an environment is no session; and a client is not under it.
    echo damaged >board
    run env SNAG_BOARD="$PWD/board" "$SNAG" run -- sh -c 'exit 3'
    expect_status 3
    run env SNAG_BOARD=/none "$SNAG" run -- sh -c 'exit 3'
    expect_status 3
    run "$SNAG" run --client "$SNAG run -- sh -c 'exit 4'" -- "$TINY" 0
    expect_status 4
}

test_commands_that_hand_the_server_on() {
    local name
    for name in docker podman nerdctl kubectl systemctl systemd-run sudo doas su runuser ssh machinectl; do
        refused "snag: $name can't be run under snag: " -- "$name" whatever
    done
    refused "docker can't be run under snag" -- /usr/local/bin/docker run x
}

test_files_that_cannot_be_written() {
    refused "can't write the trace none/t: No such file or directory" -o none/t -- sh -c 'echo ran'
    refused "can't write the trace /dev/full: No space left on device" -o /dev/full -- sh -c 'echo ran'
    refused "can't write the summary none/s: No such file or directory" --summary none/s -- sh -c 'echo ran'
    mkdir folder
    refused "can't write the summary folder: Is a directory" --summary folder -- sh -c 'echo ran'
    run "$SNAG" run --summary /dev/full --connect -- "$TINY" 0
    expect_status 125
    expect_has err "can't write the summary /dev/full: No space left on device"
}

test_shim_that_is_not_there() {
    mkdir bin
    cp "$SNAG" bin/snag
    run bin/snag run -- true
    expect_status 125
    expect_has err 'libsnag.so is neither beside snag'
    mkdir -p lib/snag 'a b'
    cp "$SHIM" lib/snag/
    run bin/snag run -e accept:error=EMFILE:when=1 --connect -- "$TINY" 0
    expect_status 0
    cp "$SNAG" "$SHIM" 'a b'
    run 'a b/snag' run -- true
    expect_status 125
    expect_has err "LD_PRELOAD can't name a path with a colon or a blank"
}

tests_main "$@"
