#!/bin/bash
# The corpus of each fuzz target, every file in a process of its own: what was wrong once is right for good.
. "${0%/*}/harness.sh"

# Gives target $1 each file of its corpus.
try_corpus() {
    local file count=0
    for file in "$tests_root/tests/fuzz/corpus/$1"/*; do
        run -t 20 "$build/tests/$1_fuzz" "$file"
        [ "$status" = 0 ] || { show err; fail "again: $build/tests/$1_fuzz $file"; }
        count=$((count + 1))
    done
    [ $count -ge 5 ] || fail "only $count inputs for $1"
}

test_plan() {
    try_corpus plan
}

test_board() {
    try_corpus board
}

test_trace() {
    try_corpus trace
}

test_control() {
    export TMPDIR=$PWD
    try_corpus control
    expect_equal 'what is left' "$(find . -name 'fuzz-*')" ''
}

# Of a target that aborts, this file has to say so.
test_a_mistake_is_seen() {
    run "$build/tests/plan_fuzz" "$PWD/no-such-file"
    expect_status 1
    expect_has err 'no-such-file: No such file or directory'
}

tests_main "$@"
