#!/bin/bash
# README.md, and what it gives to copy: links lead somewhere, commands are understood, examples do what they say.
TEST_SECONDS=${TEST_SECONDS:-240}
. "${0%/*}/harness.sh"

README=$tests_root/README.md EXAMPLES=$tests_root/scripts/examples ACTION=$tests_root/scripts/action

# --- README.md ---

# The commands of the blocks, one a line: what follows two blanks is what a person is told of one.
commands() {
    sed -n -E 's/^    (\$ )?((build\/snag|make|scripts\/|tests\/)[^|]*)$/\2/p' "$README" | sed -E 's/ {2,}.*//' |
        sed -e 's/ && /\n/g' -e 's/; /\n/g'
}

# Whether the words of a command of snag are understood: each option, and each rule.
check_snag() {
    local subcommand=$1 word rule=no
    shift
    [ "$subcommand" != session ] || shift
    "$SNAG" completion words "$subcommand" - | sed 's/=$//' >options
    [ -s options ] || fail "no subcommand: $subcommand"
    for word; do
        if [ $rule = yes ]; then
            case $word in
            *[:=]*) run "$SNAG" check -e "$word" ;;
            *) run "$SNAG" check -e "trace=$word" ;;
            esac
            expect_status 0
            rule=no
            continue
        fi
        case $word in
        --) return 0 ;;
        -e) rule=yes ;;
        --*) grep -qxF -- "${word%%=*}" options || fail "snag $subcommand has no $word" ;;
        esac
    done
}

test_commands_are_understood() {
    local command words count=0
    commands >commands
    while IFS= read -r command; do
        echo "$command"
        eval "words=(${command% &})"
        case ${words[0]} in
        build/snag) check_snag "${words[@]:1}" ;;
        make)
            [ ${#words[@]} = 1 ] || grep -qE "^(\.PHONY:.* )?${words[1]}( .*|:.*)?$" "$tests_root/Makefile" ||
                fail "make has no goal ${words[1]}"
            ;;
        *) [ -x "$tests_root/${words[0]}" ] || fail "there is no ${words[0]}" ;;
        esac
        count=$((count + 1))
    done <commands
    [ $count -ge 20 ] || fail "only $count commands"
}

# Those that need nothing but what is built are run.
test_commands_on_our_own_server() {
    local command count=0
    mkdir here && cd here
    ln -s "$build" build
    # shellcheck disable=SC2016
    commands | grep -E '^build/snag (.* -- build/listener-echo$|faults|check|lesson( [a-z]*| threads --with libevent)?$)' >../wanted
    while IFS= read -r command; do
        echo "$command"
        run -t 100 bash -c "$command"
        expect_status 0
        count=$((count + 1))
    done <../wanted
    [ $count -ge 6 ] || fail "only $count commands"
}

test_links_lead_somewhere() {
    local target
    grep -oE '\]\([^)]*\)' "$README" | tr -d '])(' | sort -u >targets
    # Paths in the text: `inject/...`, and those of the map.
    grep -oE '`(inject|shim|listener|scripts|tests)/[A-Za-z0-9_./-]*`' "$README" | tr -d '`' | grep -v NAME >>targets
    sed -n -E 's/^    ((inject|shim|listener|scripts|tests)\/[a-z./-]*) .*/\1/p' "$README" >>targets
    [ "$(wc -l <targets)" -ge 40 ] || fail 'links are missing'
    while read -r target; do
        case $target in
        http*) fail "$target: nobody sees to it that this is there" ;;
        esac
        [ -e "$tests_root/$target" ] || fail "$target is not there"
    done <targets
}

test_picture_is_a_picture() {
    expect_equal 'the first bytes' "$(head -c 8 "$tests_root/scripts/matrix.png" | od -An -tx1 | tr -d ' ')" 89504e470d0a1a0a
    [ "$(stat -c %s "$tests_root/scripts/matrix.png")" -lt 200000 ] || fail 'it is large'
}

test_number_of_calls() {
    expect_has "$README" "| which calls | $("$SNAG" faults | grep -cE '^[a-z][a-z_0-9]+ +E'):"
}

# --- Examples ---

# yaml FILE EXPRESSION: what Python makes of the data `d` in FILE.
yaml() {
    /usr/bin/python3 -c 'import sys, yaml; d = yaml.safe_load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$1" "$2"
}

test_yaml_is_yaml() {
    local file
    for file in "$ACTION/action.yml" "$EXAMPLES"/*.y*ml "$tests_root"/scripts/*.yml; do
        yaml "$file" 'type(d).__name__' >kind || fail "$file"
        expect_equal "$file" "$(cat kind)" dict
    done
}

# The action's inputs are what its script reads, and its steps what there is.
test_action() {
    local step
    for step in $(yaml "$ACTION/action.yml" '" ".join(s["run"] for s in d["runs"]["steps"] if "run" in s)'); do
        step=$(eval "GITHUB_ACTION_PATH=$ACTION; echo $step")
        [ -x "$step" ] || fail "$step can't be executed"
    done
    yaml "$ACTION/action.yml" '"\n".join(sorted(d["runs"]["steps"][1]["env"]))' >given
    # shellcheck disable=SC2016
    grep -oE '\$SNAG_[A-Z_]+' "$ACTION/explore" | tr -d '$' | sort -u | diff given - || fail 'the script reads others'
    yaml "$ACTION/action.yml" '"\n".join(sorted("SNAG_" + i.upper().replace("-", "_") for i in d["inputs"]))' |
        diff given - || fail 'the inputs are others'
    yaml "$EXAMPLES/github.yml" '"\n".join(s for step in d["jobs"]["explore"]["steps"] for s in step.get("with", {}))' >used
    while read -r step; do
        yaml "$ACTION/action.yml" "d['inputs']['$step']['description']" >description || fail "no input $step"
    done <used
}

# explore SERVER...: as the action would, with its own defaults and one mode.
explore() {
    run -t 100 env PATH="$build:$PATH" SNAG_SERVER="$*" SNAG_CLIENT="--send 'hi\\n' --expect hi" \
        SNAG_OPTIONS='--modes once --faults EMFILE --patience 1s' GITHUB_STEP_SUMMARY=summary.md \
        SNAG_FAIL_ON="$(yaml "$ACTION/action.yml" 'd["inputs"]["fail-on"]["default"]')" \
        SNAG_BASELINE="${baseline-}" SNAG_OUTPUT="${output-snag-out}" "$ACTION/explore"
}

test_action_explores() {
    explore "$LISTENER_ECHO"
    expect_status 0
    expect_has summary.md served
    rm -r snag-out summary.md
    explore "'$(program tiny)' deaf $(free_port)"
    expect_status 1
    expect_has summary.md deaf
    expect_json snag-out/summary.json '.cases[0].verdict == "deaf"'
    echo "$(jq -r '.cases[0].id' snag-out/summary.json) deaf" >baseline
    baseline=$PWD/baseline output=again explore "'$(program tiny)' deaf $(free_port)"
    expect_status 0
    explore ''
    expect_status 125
    expect_has err 'the server is missing'
}

# The options of the workflows' commands are snag's.
test_workflows_are_understood() {
    local words
    yaml "$EXAMPLES/gitlab-ci.yml" '"\n".join(d["explore"]["script"] + d["explore"]["after_script"])' >commands
    sed -e ':again' -e '/\\$/ { N; s/\\\n//; b again }' "$EXAMPLES/Dockerfile" >Dockerfile
    grep -hv '^ *#' Dockerfile "$tests_root/scripts/explore-matrix.yml" | grep -oE 'snag (explore|report) .*' |
        sed -e 's/ *>.*//' -e 's/ || .*//' -e 's/\${{[^}]*}}/1/g' >>commands
    grep '^snag ' commands >of_snag
    [ "$(wc -l <of_snag)" -ge 5 ] || fail 'commands are missing'
    while IFS= read -r line; do
        eval "words=($line)"
        check_snag "${words[@]:1}"
    done <of_snag
}

# The containers' commands of the pod, with a folder and a server of this machine.
test_pod() {
    local snag_command server_command folder=$PWD/memory port
    port=$(free_port)
    mkdir memory
    snag_command=$(yaml "$EXAMPLES/pod.yaml" 'd["spec"]["containers"][0]["command"][2]')
    server_command=$(yaml "$EXAMPLES/pod.yaml" 'd["spec"]["containers"][1]["command"][2]')
    snag_command=${snag_command//\/dev\/shm/$folder} server_command=${server_command//\/dev\/shm/$folder}
    snag_command=${snag_command/session start/session start --name pod-$$}
    server_command=${server_command/server --port 8080/$LISTENER_ECHO --port $port}
    expect_equal 'the mark of the port' "${server_command##* }" "$port"
    PATH=$build:$PATH start sh -c "$server_command"
    server=$pid
    PATH=$build:$PATH start env --default-signal=INT,TERM sh -c "$snag_command"
    wait_for 20 grep -q listening "$server.out"
    "$SNAG" ctl "pod-$$" stats >stats
    expect_has stats 'attached: '
    expect_has stats 'living now: listener-echo'
    stop "$pid"
    expect_status 0
    stop "$server"
    # What a container mounts is a volume of the pod, and each volume is mounted.
    yaml "$EXAMPLES/pod.yaml" '"\n".join(sorted({m["name"] for c in d["spec"]["containers"] + d["spec"]["initContainers"] for m in c["volumeMounts"]}))' >mounted
    yaml "$EXAMPLES/pod.yaml" '"\n".join(sorted(v["name"] for v in d["spec"]["volumes"]))' | diff mounted - || fail 'volumes'
}

tests_main "$@"
