#!/bin/bash
# Completion: what `snag completion words` answers, and the scripts of bash and zsh that ask it.
. "${0%/*}/harness.sh"

# words WORD...: what the last of them can become, sorted.
words() {
    "$SNAG" completion words "$@" >answer
    sort answer -o answer
}

# offers WORD... -- CANDIDATE...: among others.
offers() {
    local line=()
    while [ "$1" != -- ]; do line+=("$1"); shift; done
    shift
    words "${line[@]}"
    while [ $# -gt 0 ]; do
        grep -qxF -- "$1" answer || { show answer; fail "snag ${line[*]}: $1 is not offered"; }
        shift
    done
}

# exactly WORD... -- CANDIDATE...: those and no others.
exactly() {
    local line=()
    while [ "$1" != -- ]; do line+=("$1"); shift; done
    shift
    words "${line[@]}"
    { [ $# = 0 ] || printf '%s\n' "$@"; } | sort >wanted
    diff wanted answer || fail "snag ${line[*]}: what is wanted (<), what is offered (>)"
}

test_subcommands() {
    exactly r -- run replay report
    offers '' -- run explore ctl faults help completion --version
    exactly help v -- verdicts
    exactly help ru -- run
    exactly completion '' -- bash zsh
    exactly session '' -- start stop
}

# Every option of every subcommand that takes a value has kinds of values, or takes what nobody can guess.
test_options_and_values() {
    exactly run --cl -- --client= --client-timeout=
    exactly trace --st -- --strace-counts --strict --stack-traces --stop-signal= --stop-timeout=
    exactly run --stack --
    exactly session start --f -- --format=
    exactly session start --format= -- --format=env --format=shell --format=systemd --format=docker --format=pod
    exactly run --color a --
    exactly run --color=a -- --color=auto --color=always
    exactly run --stop-signal SIGT -- SIGTERM SIGTRAP SIGTSTP SIGTTIN SIGTTOU
    exactly explore --fail-on deaf,cr -- deaf,crashed
    exactly explore --fail-on=deaf,cr -- --fail-on=deaf,crashed
    exactly explore --modes once,h -- once,held
    exactly explore --faults EMFILE,sock -- EMFILE,socklen=0
    offers explore --sites acc -- accept accept4
    exactly run --plan x -- :files
    exactly run -o x -- :files
    exactly explore -o x -- :folders
    exactly run --client x -- :commands
    exactly run --seed 4 --
    exactly lesson --lang '' -- en zh
    exactly lesson emfile-s -- emfile-shed
    exactly lesson --html x -- :files
}

test_rules() {
    exactly run -e acc -- accept: accept4:
    exactly run -e accept,acc -- accept,accept: accept,accept4:
    exactly run -e fault=lis -- fault=listen:
    exactly run -e trace=%s -- trace=%setup
    exactly run -e inj -- inject=
    exactly run -e accept4:err -- accept4:error=
    exactly run -e accept4:error=em -- accept4:error=EMFILE
    exactly run -e accept4:error=ENO -- accept4:error=ENO{MEM,BUFS,PROTOOPT,NET,SR,SYS,TSOCK}
    exactly run -e listen:error=EM --
    exactly run -e listen:b -- listen:backlog=
    exactly run -e accept4:b --
    exactly run -e accept4:error=EMFILE:per= -- accept4:error=EMFILE:per={tree,process,thread,fd,site}
    exactly run -e accept4:error=EMFILE:p -- accept4:error=EMFILE:{prob=,per=,pending,port=,path=}
    exactly run -e accept4:pending:error=EMFILE:p -- accept4:pending:error=EMFILE:{prob=,per=,port=,path=}
    exactly run -e %accept:fam -- %accept:family=
    exactly run -e socket:fam --
    exactly check --inject=listen:error=EAD -- --inject=listen:error=EADDRINUSE
}

# What is offered for a rule is taken, each by itself.
test_what_is_offered_is_understood() {
    local call errno
    for call in accept4 bind close; do
        for errno in $("$SNAG" completion words run -e "$call:error="); do
            run "$SNAG" check -e "$errno"
            expect_status 0
        done
    done
    for errno in $("$SNAG" completion words check -e %all:error=EMFILE:per=); do
        run "$SNAG" check -e "$errno"
        case $errno in
        *fd) ;; # of fewer calls
        *) expect_status 0 ;;
        esac
    done
}

test_sessions_and_cases() {
    start env --default-signal=INT,TERM "$SNAG" session start --name "lab-$$"
    wait_for 20 "$SNAG" ctl "lab-$$" list
    offers ctl lab- -- "lab-$$"
    offers session stop lab- -- "lab-$$"
    exactly ctl "lab-$$" '' -- list add del pause resume reset stats
    exactly ctl "lab-$$" add lis -- listen:
    exactly ctl add lis -- listen:
    exactly ctl list '' --
    stop "$pid"
    mkdir -p snag-out/cases/accept4-emfile-once@serve snag-out/cases/empty
    touch snag-out/cases/accept4-emfile-once@serve/case.json
    exactly replay '' -- snag-out/cases/accept4-emfile-once@serve :folders
    exactly replay snag-out/cases/acc -- snag-out/cases/accept4-emfile-once@serve :folders
}

test_the_server() {
    words run -- ngi
    expect_equal 'behind --' "$(cat answer)" :commands
    words run -- nginx -c ngi
    expect_equal 'behind the command' "$(cat answer)" :files
    words run -e -- --pl # these two dashes are the value of -e
    expect_equal 'behind a value' "$(cat answer)" --plan=
}

test_bad_questions() {
    run "$SNAG" completion
    expect_status 125
    run "$SNAG" completion fish
    expect_status 125
    expect_has err 'expected snag completion bash, or snag completion zsh'
    run "$SNAG" completion words nosuch --x
    expect_status 0
    expect_empty out
}

test_scripts_are_what_is_printed() {
    "$SNAG" completion bash | diff - "$tests_root/inject/completion/snag.bash"
    "$SNAG" completion zsh | diff - "$tests_root/inject/completion/_snag"
}

# press_tab SHELL...: runs the interactive shell on a terminal of its own, types each line of the file `lines`, Tab and Enter.
press_tab() {
    cat >driver <<'EOT'
zmodload zsh/zpty
zpty -b shell "$@"
wait_for_prompt() {
    local piece got= i
    for ((i = 0; i < 1000; i++)); do
        if zpty -r -t shell piece; then got+=$piece; else sleep 0.02; fi
        [[ $got != *'ready>'* ]] || return 0
    done
    print -r -- "no prompt: $got"
    exit 1
}
wait_for_prompt
while IFS= read -r line; do
    zpty -w -n shell "$line"$'\t\n'
    wait_for_prompt
done <lines
zpty -d shell
EOT
    run zsh -f driver "$@"
    expect_status 0
    expect_empty err
}

# The lines that are typed, and the command that is run then.
type_lines() {
    cat >lines <<'EOT'
snag expl
snag run -e accept4:err
snag run -e accept4:error=EMF
snag run -e accept4:error=EMFILE:sti
snag run --bac
snag explore --fail-on deaf,cra
snag run --color=alw
snag help verd
snag run --plan fold
EOT
    cat >wanted <<'EOT'
<explore>
<run> <-e> <accept4:error=>
<run> <-e> <accept4:error=EMFILE>
<run> <-e> <accept4:error=EMFILE:sticky>
<run> <--backend=>
<explore> <--fail-on> <deaf,crashed>
<run> <--color=always>
<help> <verdicts>
<run> <--plan> <folder/>
EOT
    mkdir folder
}

test_bash_as_a_person_uses_it() {
    type_lines
    cat >rc <<EOT
PATH=$build:\$PATH PS1='ready>'
bind 'set enable-bracketed-paste off'
. $tests_root/inject/completion/snag.bash
snag() {
    if [ "\$1" = completion ]; then command snag "\$@"; else echo "\$(printf '<%s> ' "\$@")" >>$PWD/asked; fi
}
EOT
    press_tab env TERM=dumb bash --rcfile "$PWD/rc" -i
    sed -i 's/ *$//' asked
    diff wanted asked || fail 'what is wanted (<), what Tab has made of it (>)'
}

test_zsh_as_a_person_uses_it() {
    type_lines
    zsh -n "$tests_root/inject/completion/_snag"
    cat >.zshrc <<EOT
PATH=$build:\$PATH PS1='ready>'
fpath=($tests_root/inject/completion \$fpath)
autoload -Uz compinit
compinit -u -D
snag() {
    if [ "\$1" = completion ]; then command snag "\$@"; else echo "\$(printf '<%s> ' "\$@")" >>$PWD/asked; fi
}
EOT
    press_tab env TERM=dumb ZDOTDIR="$PWD" zsh -d -i
    sed -i -e 's/ *$//' -e 's,/>,>,' asked # zsh takes the slash that it has added away again at the end
    sed -i 's,/>,>,' wanted
    diff wanted asked || fail 'what is wanted (<), what Tab has made of it (>)'
}

tests_main "$@"
