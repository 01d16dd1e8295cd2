#!/bin/bash
# The manual pages: their examples are run, and what they list is what there is.
TEST_SECONDS=${TEST_SECONDS:-240}
. "${0%/*}/harness.sh"

PAGES=("$tests_root/inject/man/snag.1" "$tests_root/inject/man/snag-plan.5" "$tests_root/shim/man/libsnag.7")
SNAG_1=${PAGES[0]} PLAN_5=${PAGES[1]} LIBSNAG_7=${PAGES[2]}
subcommands='run explore replay diff squeeze trace ctl session report lesson check faults'

# --- Examples ---

# As in the pages: snag is in PATH, and ./server is an echo server.  What this test has inherited is not the server's: a
# descriptor with a high number is what `snag squeeze` would have to fill up to.
settle_here() {
    local fd
    for fd in /proc/self/fd/*; do
        fd=${fd##*/}
        case $fd in
        [012] | 255) ;;
        *) eval "exec $fd>&-" ;;
        esac
    done
    PATH=$build:$PATH
    ln -s "$LISTENER_ECHO" server
}

unescape() {
    sed -e 's/\\&//g' -e 's/\\(dq/"/g' -e 's/\\e/\\/g' -e 's/\\-/-/g' "$@"
}

# In a server that was built with a sanitizer it is the sanitizer that calls accept4, under a name of another length.
sanitized() {
    ! nm "$LISTENER_ECHO" | grep ' __interceptor_accept4$' >/dev/null ||
        printf '%s\n' -e 's/round_accept/__interceptor_accept4/g' -e 's/^ \{20,\}/.../'
}

# Each block of literal text of page $1 as a file blocks/N, and its exit status as blocks/N.status; each single line as
# a file lines/N.
take_apart() {
    rm -rf blocks lines
    mkdir blocks lines
    awk '
        /^\.\\" ends with [0-9]+$/ { status = $NF; next }
        /^\.Bd/ { n++; inside = 1; print status + 0 > ("blocks/" n ".status"); status = 0; next }
        /^\.Ed/ { inside = 0; close("blocks/" n); next }
        inside { print > ("blocks/" n) }
        /^\.Dl / { print substr($0, 5) > ("lines/" ++m) }
    ' "$1"
    mapfile -t names < <(sanitized)
    for file in blocks/* lines/*; do
        [ ! -e "$file" ] || { unescape "${names[@]}" <"$file" >plain && mv plain "$file"; }
    done
}

# The lines that are expected, with the page's ... as a glob.
as_globs() {
    sed -e 's/[][*?\\]/\\&/g' -e '/^\.\.\.$/!s/\.\.\./*/g'
}

# Waits until command $1, which was put into the background with its output in file $2, is of use.
wait_until_up() {
    local name target
    name=$(sed -n 's/.* --name \([^ ]*\) .*/\1/p' <<<"$1")
    target=$(sed -n 's/.* > \([^ ]*\) &$/\1/p' <<<"$1")
    [ -z "$name" ] || wait_for 20 snag ctl "$name" list
    [ -z "$target" ] || wait_for 20 grep -q SNAG_BOARD "$target"
    [ -n "$name$target" ] || wait_for 20 grep -q listening "$2"
}

# Compares what command $1 printed into got with the file `expected`.
check_output() {
    [ -e expected ] || : >expected
    sed -i -e '/^listening on /d' -e '/^\[warn\] /d' -e 's/ *$//' got # the server itself; blanks that nobody sees
    expect_lines got < <(as_globs <expected) || fail "$1"
}

# Runs the commands of the block in file $1, one after the other in this shell, and compares what each prints.
run_block() {
    local line command="" n=0 last=0 background=""
    rm -f expected got
    while IFS= read -r line; do
        if [[ $line != '$ '* ]]; then
            printf '%s\n' "$line" >>expected
            continue
        fi
        [ -z "$command" ] || check_output "$command"
        rm -f expected
        [ "$last" = 0 ] || fail "exit status $last: $command"
        # Sessions of others may have these names.
        command=$(sed -E "s/(--name|snag ctl|session stop) ([a-z]+)/\1 \2-$$/" <<<"${line#'$ '}")
        echo "$1: $command"
        n=$((n + 1)) last=0
        case $command in
        *'&')
            set -m # a process group of its own, which end_background ends
            eval "$command" >"background.$n" 2>&1
            set +m
            background=$!
            wait_until_up "$command" "background.$n"
            : >got
            ;;
        *) eval "${command//'$!'/$background}" >got 2>&1 </dev/null || last=$? ;;
        esac
    done <"$1"
    check_output "$command"
    expect_equal "the exit status of $command" "$last" "$(cat "$1.status")"
}

end_background() {
    local p
    for p in $(jobs -p); do
        kill -- "-$p" 2>/dev/null || :
        wait "$p" || :
    done
}

# Runs all examples of page $1.  What is none, and what is no form that is known here, fails.
run_page() {
    local file count=0
    settle_here
    take_apart "$1"
    for file in $(find blocks -name '*[0-9]' | sort -t/ -k2n); do
        case $(head -n 1 "$file") in
        '$ '*)
            run_block "$file"
            end_background
            rm -rf ./*.jsonl snag-out old new report
            ;;
        '# '*)
            run "$SNAG" check --plan "$file"
            expect_status 0
            ;;
        *) fail "$file: $(head -n 1 "$file"): a form that this test does not know" ;;
        esac
        count=$((count + 1))
    done
    expect_equal 'the number of examples' $count "$(grep -c '^\.Bd' "$1")"
}

test_examples_of_snag() {
    run_page "$SNAG_1"
}

test_examples_of_snag_plan() {
    run_page "$PLAN_5"
}

test_examples_of_libsnag() {
    run_page "$LIBSNAG_7"
    expect_equal 'lines that are no block' "$(grep -c '^\.Dl' "$LIBSNAG_7")" 0
    expect_equal 'lines that are no block' "$(grep -c '^\.Dl' "$SNAG_1")" 0
}

# Each rule that stands alone is understood, and does no harm to snag when a program runs under it.
test_rules_of_snag_plan() {
    local file
    take_apart "$PLAN_5"
    [ "$(find lines -type f | wc -l)" -ge 40 ] || fail 'rules are missing'
    for file in lines/*; do
        run "$SNAG" check -e "$(cat "$file")"
        expect_status 0
        RUN_MAY_GIVE_124=yes run "$SNAG" run -q -e "$(cat "$file")" -- timeout 1 "$(program caller)"
        case $status in
        12[567]) show err; fail "snag run -e $(cat "$file"): exit status $status" ;;
        esac
    done
}

# A loop of bash makes two calls of dup2 a round.
test_the_arithmetic_of_when() {
    local when numbers
    sed -n '/^Of 20 calls/,/^\.El/ { /^\.It Cm when=/ { s/.*when=//; h; n; H; x; s/\n/ /p } }' "$PLAN_5" >rows
    expect_equal 'rows on when=' "$(wc -l <rows)" 6
    while read -r when numbers; do
        run "$SNAG" run -q -o trace.jsonl -e "dup2:delay_enter=1us:when=$when" -- \
            bash -c 'for i in {1..10}; do : </dev/null; done'
        expect_status 0
        expect_equal "when=$when" "$(jq -s -c '[.[] | select(.injected == true and .type == "call") | .nth] | join(" ")' trace.jsonl)" "\"$numbers\""
    done <rows
}

# --- What the pages list ---

# The section $2 (.Sh or .Ss) of page $1, a line that goes on as one.
section() {
    sed -e ':again' -e '/\\$/ { N; s/\\\n//; b again }' "$1" | awk -v title="$2" '
        /^\.S[hs] / { inside = substr($0, 5) == title; next }
        inside'
}

# Options in lines of .It, as words: --plan, -e.
options_of_page() {
    section "$SNAG_1" "snag $1" | grep '^\.It' |
        sed -e 's/Fl Fl \([a-z-]*\)/\n--\1\n/g' -e 's/Fl \([a-z]\)\>/\n-\1\n/g' | grep -E '^-' | sort -u
}

# Those of --help: in the lines that begin with one.
options_of_help() {
    "$SNAG" "$1" --help | grep -E '^ +-' | sed -E -e 's/^ +(-[a-z])( |,)/\n\1\n/' -e 's/ {2,}(-[a-z]), /\n\1\n/g' |
        sed -e 's/--[a-z][a-z-]*/\n&\n/g' | grep -E '^(-[a-z]|--[a-z-]+)$' | sort -u
}

options_of_completion() {
    "$SNAG" completion words "$1" - | sed 's/=$//' | sort -u
}

test_options_agree() {
    local name
    for name in $subcommands; do
        options_of_page "$name" >page
        options_of_help "$name" >help
        options_of_completion "$name" >completion
        [ -s page ] || fail "no options of snag $name in the page"
        diff page help || fail "snag $name: the page (<) and --help (>) differ"
        diff page completion || fail "snag $name: the page (<) and what is understood (>) differ"
    done
}

test_subcommands_agree() {
    tr ' ' '\n' <<<"$subcommands" | sort >wanted
    "$SNAG" --help | sed -n 's/^  snag \([a-z]*\)  *[a-z].*/\1/p' | grep -vx 'help\|completion' | sort >help
    diff wanted help || fail 'snag --help has others'
    grep '^\.Ss snag' "$SNAG_1" | cut -d' ' -f3 | grep -vx 'help\|completion' | sort >page
    diff wanted page || fail 'the page has others'
    section "$SNAG_1" SYNOPSIS | sed -n 's/^\.Cm //p' | grep -E '^[a-z]+$' | grep -vx 'help\|completion\|start\|stop' | sort -u >synopsis
    diff wanted synopsis || fail 'the synopsis has others'
}

test_verdicts_agree() {
    section "$SNAG_1" VERDICTS | sed -n 's/^\.It Cm //p' >page
    "$SNAG" completion words explore --fail-on '' >known
    [ "$(wc -l <known)" -gt 10 ] || fail 'verdicts are missing'
    diff page known || fail 'the page (<) has others than snag (>)'
}

test_keys_agree() {
    grep '^\.It Cm' "$PLAN_5" | sed -n '/%/!p' | sed 's/Cm \([a-z_]*\)/\n\1\n/g' | grep -E '^[a-z_]+$' | sort -u >page
    "$SNAG" completion words check -e %all: | sed -e 's/^%all://' -e 's/=$//' | sort -u >known
    [ "$(wc -l <known)" -gt 25 ] || fail 'keys are missing'
    grep -vx 'when' page >page.rest && grep -vx 'when' known >known.rest
    diff page.rest known.rest || fail 'the page (<) has others than the parser (>)'
    expect_has page when
}

test_calls_agree() {
    section "$PLAN_5" CALLS | sed -n '/^The calls are/,/^\.Cm snag faults/p' | grep -v '^\.Cm\|^The calls' |
        tr -d '. ' | sed 's/and\(socketpair\)/,\1/' | tr ',' '\n' | grep . | sort >page
    "$SNAG" faults | awk '/^[a-z]/ { print $1 }' | grep -v '^snag$' | sort >known
    sed -n -E 's/^(CALL|SYSCALL)\(([a-z0-9_]*),.*/\2/p' "$tests_root/inject/engine/calls.def" | sort >rows
    diff rows known || fail 'snag faults (>) has others than calls.def (<)'
    diff page known || fail 'the page (<) has others than snag faults (>)'
}

# A variable that is read or set somewhere has its line in a page.
test_environment_agrees() {
    local name
    grep -rhoE 'getenv\("[A-Z_]+"\)|spawn_variable\("[A-Z_]+"' "$tests_root/inject" "$tests_root/shim" --include='*.c' |
        grep -oE '[A-Z_]{3,}' | sort -u >names
    [ "$(wc -l <names)" -ge 8 ] || fail 'variables are missing'
    while read -r name; do
        grep -hE '^\.(It )?Ev' "${PAGES[@]}" | grep -qw "$name" || fail "$name is in no page"
    done <names
}

# What the library exports: what the page names, and the calls of a plan that are functions.
test_exports_agree() {
    {
        section "$LIBSNAG_7" 'WHAT IS WRAPPED' | sed -n 's/^\.Fn \([A-Za-z0-9_]*\).*/\1/p'
        sed -n -E 's/^CALL\(([a-z0-9_]*),.*/\1/p' "$tests_root/inject/engine/calls.def"
    } | sort -u >page
    nm -D --defined-only "$SHIM" | awk '$2 == "T" || $2 == "W" || $2 == "i" { sub(/@.*/, "", $3); print $3 }' | sort -u >exported
    diff page exported || fail 'the page (<) has others than the library exports (>)'
}

# --- Form ---

test_pages_are_clean() {
    run mandoc -T lint -W warning "${PAGES[@]}"
    expect_status 0
    expect_empty out
}

# The words of a page as mandoc formats it, and as `snag help` does: blanks and quotes may differ.
words() {
    sed -e 's/.\x08//g' | tr -d " \t\n\`'" | fold -w 80
}

# Whether topic $1 of `snag help` is what mandoc makes of page $2.
is_page() {
    mandoc -T ascii "$2" | sed '1d;$d' | words >page
    "$SNAG" help "$1" | words >topic
    [ "$(wc -l <topic)" -gt 10 ] || fail "snag help $1 is short"
    diff page topic || fail "snag help $1 (>) is not the page (<)"
}

test_help_is_the_manual() {
    local topic
    is_page manual "$SNAG_1"
    is_page plan "$PLAN_5"
    is_page shim "$LIBSNAG_7"
    "$SNAG" help manual >manual
    for topic in verdicts status environment files examples; do
        "$SNAG" help "$topic" >topic
        [ "$(wc -l <topic)" -gt 5 ] || fail "snag help $topic is short"
        [[ $(<manual) == *"$(<topic)"* ]] || fail "snag help $topic is not a part of the page"
    done
    "$SNAG" help | sed -n 's/^  snag help \([a-z]*\) .*/\1/p' | sort >listed
    printf '%s\n' manual plan shim verdicts status environment files examples | sort | diff - listed ||
        fail 'snag help lists others'
}

test_help_on_a_subcommand() {
    local name
    for name in $subcommands; do
        "$SNAG" help "$name" >topic
        "$SNAG" "$name" --help | diff - topic || fail "snag help $name is not snag $name --help"
    done
    run "$SNAG" help verdict
    expect_status 125
    expect_has err "no help on 'verdict'; did you mean verdicts?"
    run "$SNAG" help xyzzyx
    expect_status 125
    expect_has err "snag help lists what there is"
}

test_lines_are_not_wide() {
    local topic
    for topic in manual plan shim; do
        "$SNAG" help $topic | awk 'length($0) > 105 { print; bad = 1 } END { exit bad }' || fail "snag help $topic is too wide"
    done
}

tests_main "$@"
