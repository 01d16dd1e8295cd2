#!/bin/bash
# `snag check`: the words for a good plan, the errors for a bad one, and the exit status.  What the language accepts and
# refuses is tests/unit/plan_test.c's business.
. "${0%/*}/harness.sh"

# A bad -e: 125, nothing on stdout, and exactly the lines of stdin on stderr.
expect_refused() {
    run "$SNAG" check -e "$1"
    expect_status 125
    expect_empty out
    expect_lines err
}

test_rule_in_words() {
    run "$SNAG" check -e accept4:error=EMFILE:when=1..50
    expect_status 0
    expect_empty err
    expect_lines out <<'EOT'
1. accept4:error=EMFILE:when=1..50
   Makes accept4 fail with EMFILE (RLIMIT_NOFILE is reached). A pending connection stays in the
   queue. Each descriptor that the process closes lets one call through. Acts on matching calls 1 to
   50; calls are counted over all processes together.
seed: 0
EOT
}

test_several_rules_and_a_file() {
    printf '# both\r\nset seed=42\r\nlisten:error=EADDRINUSE:name=taken\r\ntrace=bind' >plan
    run "$SNAG" check -e inject=accept:error=ECONNABORTED:when=2 --plan plan --inject fault=accept4 -e trace=accept
    expect_status 0
    expect_empty err
    expect_lines out <<'EOT'
1. inject=accept:error=ECONNABORTED:when=2
   Makes accept fail with ECONNABORTED (*). The pending
   connection is taken out of the queue and reset; *
...
2. listen:error=EADDRINUSE:name=taken  (taken)
   Makes listen fail with EADDRINUSE *
...
3. fault=accept4
   Makes accept4 fail with ENOSYS *
...
traced: bind, accept
seed: 42
EOT
}

test_lines_fit_100_columns() {
    run "$SNAG" check -e '%all:error=EINTR:prob=0.25:times=7:per=process:comm=worker*:after=start+1.5s:for=20ms'
    expect_status 0
    [ "$(sed 1d out | awk 'length > 100' | wc -l)" = 0 ] || fail "a line is longer than 100 columns"
    expect_has out "Left out, for this can't be done to them: socket"
}

test_unknown_errno_has_a_caret_and_a_suggestion() {
    expect_refused accept4:error=EMFLE <<'EOT'
snag: accept4:error=EMFLE
                    ^~~~~
snag: unknown errno 'EMFLE'; did you mean EMFILE?
EOT
}

test_impossible_errno_says_what_is_possible() {
    expect_refused listen:error=ENOENT <<'EOT'
snag: listen:error=ENOENT
                   ^~~~~~
snag: listen can't fail with ENOENT on Linux (`force` does it all the same); it can with
snag:   EADDRINUSE EINVAL EOPNOTSUPP EBADF ENOTSOCK EACCES ENOBUFS
EOT
    run "$SNAG" check -e listen:error=ENOENT:force
    expect_status 0
}

test_other_bad_rules() {
    expect_refused acept:error=EINTR <<'EOT'
snag: acept:error=EINTR
      ^~~~~
snag: unknown call 'acept'; did you mean accept?
EOT
    expect_refused accept4:eror=EINTR <<'EOT'
snag: accept4:eror=EINTR
              ^~~~
snag: unknown key 'eror'; did you mean error?
EOT
    expect_refused accept4:delay_enter=3min <<'EOT'
snag: accept4:delay_enter=3min
                           ^~~
snag: unknown unit of time; expected s, ms, us or ns
EOT
    expect_refused accept4:error=EINTR:when=0 <<'EOT'
snag: accept4:error=EINTR:when=0
                               ^
snag: calls are counted from 1
EOT
    expect_refused accept4:error=EINTR:when=5..2 <<'EOT'
snag: accept4:error=EINTR:when=5..2
                                  ^
snag: the range ends before it begins, at 5
EOT
    expect_refused accept4:error=EINTR:when=99999999999 <<'EOT'
snag: accept4:error=EINTR:when=99999999999
                               ^~~~~~~~~~~
snag: too large; when= goes up to 4294967295
EOT
    expect_refused accept4:error=EINTR:prob=2 <<'EOT'
snag: accept4:error=EINTR:prob=2
                               ^
snag: out of range; a probability is from 0 (never) to 1 (always)
EOT
    expect_refused accept4:error=EINTR:error=EINTR <<'EOT'
snag: accept4:error=EINTR:error=EINTR
                          ^~~~~
snag: 'error' is given twice
EOT
    expect_refused listen:socklen=0 <<'EOT'
snag: listen:socklen=0
             ^~~~~~~
snag: listen can't have 'socklen'; these calls can:
snag:   accept accept4
EOT
    expect_refused '' <<'EOT'
snag: 
      ^
snag: the rule is empty; expected CALLS:ACTION, as in accept4:error=EMFILE
EOT
}

test_all_bad_rules_are_said() {
    run "$SNAG" check -e acept:error=EINTR -e accept:error=EINTR -e bind:error=EMFLE
    expect_status 125
    expect_empty out
    expect_has err "did you mean accept?"
    expect_has err "did you mean EMFILE?"
}

test_bad_lines_of_a_file() {
    printf 'accept:error=EINTR\n  bind:eror=EACCES  # slip\n\nset sed=1\n' >plan
    run "$SNAG" check --plan plan
    expect_status 125
    expect_empty out
    expect_lines err <<'EOT'
plan:2:8: unknown key 'eror'; did you mean error?
      bind:eror=EACCES  # slip
           ^~~~
plan:4:5: unknown setting 'sed'; did you mean seed?
    set sed=1
        ^~~
EOT
}

test_files_that_are_no_plans() {
    run "$SNAG" check --plan missing
    expect_status 125
    expect_lines err <<<'snag: missing: No such file or directory'
    mkdir folder
    run "$SNAG" check --plan folder
    expect_status 125
    expect_lines err <<<'snag: folder: Is a directory'
    printf 'accept:error=EINTR\n\0' >binary
    run "$SNAG" check --plan binary
    expect_status 125
    expect_lines err <<<'snag: binary: not a plan: a binary file (it holds a NUL byte)'
    yes '# long' | head -c 10485760 >big || :
    run "$SNAG" check --plan big
    expect_status 125
    expect_lines err <<<'snag: big: not a plan: larger than 1 MiB'
    mkfifo fifo
    run -t 20 "$SNAG" check --plan fifo
    expect_status 125
    expect_lines err <<<'snag: fifo: not a regular file (a pipe can be given as /dev/stdin or /dev/fd/N)'
}

test_plan_from_a_pipe() {
    # The writer comes late: what is there at once is not all.
    (sleep 0.2; echo accept:error=EINTR) | "$SNAG" check --plan /dev/stdin >piped
    expect_has piped 'fail with EINTR'
    run "$SNAG" check --plan <(echo accept:error=EINTR)
    expect_status 0
    expect_has out 'fail with EINTR'
    echo accept:error=EINTR >plan
    run -i plan "$SNAG" check --plan /dev/stdin
    expect_status 0
    local code=0
    head -c 2000000 /dev/zero | tr '\0' '#' | "$SNAG" check --plan /dev/stdin 2>said || code=$?
    expect_has said '/dev/stdin: not a plan: larger than 1 MiB'
}

test_more_rules_than_a_board_holds() {
    for _ in $(seq 129); do echo '%accept:error=EINTR'; done >plan
    run "$SNAG" check --plan plan
    expect_status 125
    expect_lines err <<'EOT'
plan:129:1: too many rules: a plan holds 128
    %accept:error=EINTR
    ^~~~~~~~~~~~~~~~~~~
EOT
    sed -i 1d plan
    run "$SNAG" check --plan plan
    expect_status 0
    run "$SNAG" check --plan plan --strace-counts
    expect_status 125
    expect_empty out
    expect_lines err <<<'snag: --strace-counts makes 256 rules of this plan, a rule for each call; a plan holds 128'
}

test_strace_counts() {
    run "$SNAG" check -e accept:error=EINTR --strace-counts
    expect_status 0
    expect_has out '--strace-counts: rules without per= count for each call and each thread instead'
}

test_plan_without_rules() {
    echo '# nothing' >plan
    run "$SNAG" check --plan plan
    expect_status 0
    expect_lines out <<'EOT'
no rules: nothing will be injected
seed: 0
EOT
}

test_bad_usage() {
    run "$SNAG" check
    expect_status 125
    expect_empty out
    expect_lines err <<'EOT'
snag: check: nothing to check; give a rule with -e or a file with --plan
snag: `snag check --help` says how it is used
EOT
    run "$SNAG" check accept:error=EINTR
    expect_status 125
    expect_has err "unexpected argument 'accept:error=EINTR'; a rule goes behind -e"
    run "$SNAG" check -x
    expect_status 125
    expect_has err "snag: check: unknown option '-x'"
    run "$SNAG" check -e accept:error=EINTR -e
    expect_status 125
    expect_empty out
    expect_has err "snag: check: a value is missing after '-e'"
    run "$SNAG" check --plam x
    expect_status 125
    expect_has err "snag: check: unknown option '--plam'"
}

test_seed() {
    echo 'set seed=7' >plan
    run "$SNAG" check --plan plan --seed 0x2a
    expect_status 0
    expect_has out 'seed: 42'
    run "$SNAG" check --plan plan --seed 18446744073709551616
    expect_status 125
    expect_has err 'snag: out of range; the seed is from 0 to 18446744073709551615'
    run "$SNAG" check --plan plan --seed lucky
    expect_status 125
    expect_lines err <<'EOT'
snag: lucky
      ^~~~~
snag: 'lucky' is not a number; the seed is from 0 to 18446744073709551615
EOT
}

test_help() {
    run "$SNAG" check --help
    expect_status 0
    expect_empty err
    expect_has out 'usage: snag check'
    run "$SNAG" check --version
    expect_status 0
    expect_match out '^snag [0-9.]+ \(commit .+\)$'
}

test_full_disk_is_noticed() {
    run bash -c "exec '$SNAG' check -e accept:error=EINTR >/dev/full"
    expect_status 125
    expect_lines err <<<'snag: standard output: No space left on device'
}

# Calls that make two descriptors need two.
test_pairs_need_two() {
    run "$SNAG" check -e pipe2:error=EMFILE
    tr '\n' ' ' <out | tr -s ' ' >line
    expect_has line 'It takes two closed descriptors to let one through.'
    expect_lacks out 'Each descriptor'
    run "$SNAG" check -e accept,pipe2:error=ENFILE
    tr '\n' ' ' <out | tr -s ' ' >line
    expect_has line 'Each descriptor that the process closes lets one call through. For pipe2, it takes two closed descriptors to let one through.'
}

tests_main "$@"
