# shellcheck shell=bash
# browser.sh - what the tests of pages need: headless Chromium, driven through chromedriver.  Sources the harness.
# shellcheck source=../cli/harness.sh
. "${BASH_SOURCE[0]%/*}/../cli/harness.sh"

# The keys that press() takes; not all of them in each file.
# shellcheck disable=SC2034
LEFT=$'\xee\x80\x92' RIGHT=$'\xee\x80\x94' HOME_KEY=$'\xee\x80\x91' END=$'\xee\x80\x90' TAB=$'\xee\x80\x84' ENTER=$'\xee\x80\x87'
driver="" session=""

# request METHOD PATH [JSON]: asks the driver; its answer's value goes to the file `answer`.
request() {
    curl -sS --max-time 30 -X "$1" -H 'Content-Type: application/json' ${3:+-d "$3"} "$driver/$2" >raw ||
        fail "$1 $2: no answer"
    jq .value raw >answer
    ! jq -e '.error? // empty' answer >/dev/null 2>&1 || fail "$1 $2: $(jq -r .message answer | head -n 1)"
}

# in_page SCRIPT: runs it; what it returns goes to the file `answer`.
in_page() {
    request POST "session/$session/execute/sync" "$(jq -n --arg script "$1" '{script: $script, args: []}')"
}

is_up() {
    curl -sS --max-time 2 "$driver/status" 2>/dev/null | grep -q '"ready":true'
}

# Opens page $1 in a window of $2 pixels; more of Chromium's arguments after that.
open_page() {
    local port page=$1 width=$2
    shift 2
    command -v chromedriver >/dev/null || fail 'chromedriver is missing: scripts/deps pages'
    if [ -z "$driver" ]; then
        port=$(free_port)
        driver=http://127.0.0.1:$port
        start chromedriver --port="$port"
        chromedriver_pid=$pid
        wait_for 20 is_up
    fi
    request POST session "$(jq -n '{capabilities: {alwaysMatch: {browserName: "chrome", "goog:loggingPrefs": {browser: "ALL"},
        "goog:chromeOptions": {args: (["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--user-data-dir=\($folder)/profile"] + $ARGS.positional)}}}}' --arg folder "$PWD" --args "$@")"
    session=$(jq -r .sessionId answer)
    # As a telephone has it: a window can't be made as narrow as 390 pixels.
    request POST "session/$session/goog/cdp/execute" "$(jq -n --argjson width "$width" '{cmd: "Emulation.setDeviceMetricsOverride",
        params: {width: $width, height: 844, deviceScaleFactor: 1, mobile: ($width < 600)}}')"
    request POST "session/$session/url" "$(jq -n --arg url "file://$PWD/$page" '{url: $url}')"
}

close_page() {
    [ -z "$session" ] || request DELETE "session/$session"
    session=
}

end_driver() {
    close_page
    stop "$chromedriver_pid"
}

press() {
    request POST "session/$session/actions" "$(jq -n --arg key "$1" '{actions: [{type: "key", id: "keys", actions:
        [{type: "keyDown", value: $key}, {type: "keyUp", value: $key}]}]}')"
}

# Clicks what the CSS selector $1 finds, with the mouse, in the middle of it.
click() {
    in_page "document.querySelector('$1').scrollIntoView({block: 'center'}); return 1;"
    request POST "session/$session/element" "$(jq -n --arg css "$1" '{using: "css selector", value: $css}')"
    request POST "session/$session/element/$(jq -r '.[]' answer)/click" '{}'
}
