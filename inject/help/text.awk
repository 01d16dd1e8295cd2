# text.awk - a manual page in mdoc as plain text, for `snag help`; with -v section=NAME that section alone, from its title.
#
# It knows the macros that our pages use, and fails on any other.  That it says what mandoc says, word for word, is tested
# (tests/cli/manual_test.sh).

function die(why) {
    print FILENAME ":" FNR ": " why > "/dev/stderr"
    failed = 1
    exit 1
}

function blanks(n,    text) {
    while (n-- > 0)
        text = text " "
    return text
}

function emit(line) {
    if (section != "" && title != section)
        return
    if (gap && said)
        print ""
    gap = 0
    said = 1
    print line
}

# What is before a line of a paragraph: before the first of an item its tag, if that is short.
function margin(column,    text) {
    text = tag blanks(column - length(tag))
    tag = ""
    return text
}

# Prints TEXT, wrapped, COLUMN columns in.
function wrap(text, column,    words, n, i, line) {
    n = split(text, words, " ")
    line = ""
    for (i = 1; i <= n; i++) {
        if (line != "" && column + length(line) + 1 + length(words[i]) > WIDTH) {
            emit(margin(column) line)
            line = ""
        }
        line = line (line == "" ? "" : " ") words[i]
    }
    if (line != "")
        emit(margin(column) line)
}

# Prints the paragraph that was gathered.
function flush() {
    wrap(paragraph, indent)
    paragraph = ""
}

function unescape(text) {
    gsub(/\\&/, "", text)
    gsub(/\\\(dq/, "\"", text)
    gsub(/\\-/, "-", text)
    gsub(/\\e/, "\\", text)
    return text
}

# The arguments of a macro line as words[1..n]; one in quotes may have blanks.
function take_words(text,    n) {
    n = 0
    while (match(text, /^[ \t]*("[^"]*"|[^ \t]+)/)) {
        words[++n] = substr(text, RSTART, RLENGTH)
        text = substr(text, RSTART + RLENGTH)
        sub(/^[ \t]+/, "", words[n])
        if (words[n] ~ /^"/) {
            words[n] = substr(words[n], 2, length(words[n]) - 2)
            literal[n] = 1
        } else
            literal[n] = 0
    }
    return n
}

function add(word) {
    if (out != "" && !glue && !(word ~ /^[.,:;)\]?!]$/))
        out = out " "
    out = out word
    glue = word ~ /^[(\[]$/
}

# The text of the macro line in words[1..n].
function inline_text(n,    i, macro, prefix, tail, close_quote) {
    out = ""
    glue = 0
    macro = ""
    prefix = ""
    tail = ""
    while (n > 1 && words[n] ~ /^[.,:;)?!]$/ && !literal[n])
        tail = words[n--] tail
    for (i = 1; i <= n; i++) {
        if (!literal[i] && words[i] in known) {
            if (words[i] != "Fl" && prefix == "--")
                add(prefix) # the two dashes alone, which end options
            if (words[i] == "Ns") {
                glue = 1
                macro = "No"
            } else if (words[i] == "Op" || words[i] == "Pq") {
                add(words[i] == "Op" ? "[" : "(")
                close_quote = (words[i] == "Op" ? "]" : ")") close_quote
                glue = 1
            } else if (words[i] == "Fl" && macro == "Fl" && prefix != "") {
                prefix = "--"
            } else {
                macro = words[i]
                prefix = macro == "Fl" ? "-" : ""
                if (macro == "Nm" && (i == n || words[i + 1] in known || words[i + 1] ~ /^[.,:;)]$/))
                    add(name)
            }
            if (i == n && prefix == "--")
                add(prefix)
            continue
        }
        if (words[i] ~ /^[.,:;()?!]$/ && !literal[i])
            add(words[i])
        else if (macro == "Xr" && words[i + 1] ~ /^[0-9]$/) {
            add(words[i] "(" words[i + 1] ")")
            i++
        } else if (macro == "Fn")
            add(words[i] "()")
        else if (macro == "Ql")
            add("'" words[i] "'")
        else {
            add(prefix words[i])
            if (prefix == "--")
                prefix = ""
        }
    }
    return unescape(out close_quote tail)
}

function paragraph_break() {
    flush()
    gap = 1
}

BEGIN {
    WIDTH = 96
    split("Fl Ar Cm Ql Pa Ev Xr Sx Em Fn Op Pq No Ns Nm", list, " ")
    for (i in list)
        known[list[i]] = 1
    body = indent = 4
}

/^\.\\"/ { next }

# A line that goes on.
/\\$/ && !display { sub(/\\$/, ""); held = held $0; next }
held != "" { $0 = held $0; held = "" }

display && /^\.Ed/ { display = 0; gap = 1; next }
display { emit($0 == "" ? "" : blanks(indent) unescape($0)); next }

/^\.(Dd|Dt|Os)/ { next }
/^\.Sh / {
    flush()
    gap = 1
    title = substr($0, 5)
    depth = 0
    indent = body
    if (section == "" || title == section)
        emit(title)
    next
}
/^\.Ss / { flush(); gap = 1; emit("  " substr($0, 5)); next }
/^\.Nd / { paragraph = paragraph " - " substr($0, 5); next }
/^\.Pp/ { paragraph_break(); next }
/^\.Bd / { flush(); gap = 1; display = 1; next }
/^\.D[l1] / {
    flush()
    n = take_words(substr($0, 5))
    emit(blanks(indent + 4) (/^\.D1/ ? inline_text(n) : unescape(substr($0, 5))))
    next
}
/^\.Bl / {
    flush()
    depth++
    kind[depth] = $2
    count[depth] = 0
    base[depth] = indent
    indent += kind[depth] == "-enum" ? 4 : 8
    next
}
/^\.El/ { flush(); indent = base[depth--]; next }
/^\.It/ {
    flush()
    gap = 1
    if (kind[depth] == "-enum") {
        tag = blanks(base[depth]) ++count[depth] "."
        next
    }
    text = inline_text(take_words(substr($0, 5)))
    if (length(text) < 7)
        tag = blanks(base[depth]) text
    else
        wrap(text, base[depth])
    next
}
/^\.Nm/ && title == "SYNOPSIS" { flush() }
/^\.[A-Z][a-z]/ {
    if (!(substr($1, 2) in known))
        die("text.awk does not know " $1)
    paragraph = paragraph " " inline_text(take_words(substr($0, 2)))
    if ($1 == ".Nm" && NF > 1 && name == "")
        name = $2
    if ($1 == ".Nm" && name == "")
        name = words[2]
    next
}
/^\./ { die("text.awk does not know this line") }
/^$/ { die("an empty line") }
{ paragraph = paragraph " " unescape($0) }

END {
    if (!failed)
        flush()
    if (!failed && section != "" && !said)
        die("no section " section)
}
