# Completion of snag for bash: `snag completion words` knows what can stand where; this hands the words over.

# Sets `words` to those up to the cursor.  bash takes words apart at = and : as well (COMP_WORDBREAKS): what stands
# together in the line is one word again.
_snag_words() {
    local rest=${COMP_LINE:0:COMP_POINT} part blanks i
    words=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        part=${COMP_WORDS[i]}
        blanks=${rest%%[![:space:]]*}
        rest=${rest#"$blanks"}
        [[ $rest == "$part"* ]] || part=$rest
        rest=${rest#"$part"}
        if [[ $i == 0 || -n $blanks ]]; then
            words+=("$part")
        else
            words[${#words[@]} - 1]+=$part
        fi
    done
}

# Takes what compgen has for the word, names with blanks in one piece.
_snag_take() {
    local name
    compopt -o filenames
    while IFS= read -r name; do
        COMPREPLY+=("$name")
    done < <(compgen "$@" -- "${word#"$kept"}")
}

_snag() {
    local words word line kept
    _snag_words
    word=${words[${#words[@]} - 1]}
    # What the user has quoted so far is asked for without the quote, which bash puts back.
    word=${word#[\'\"]}
    words[${#words[@]} - 1]=$word
    # bash replaces what follows the last of its word breaks, so that is what it is to get.
    kept=${word%"${word##*[=:]}"}
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
        :files) _snag_take -f ;;
        :folders) _snag_take -d ;;
        :commands) _snag_take -c -f ;;
        *)
            COMPREPLY+=("${line#"$kept"}")
            case $line in
            *[=:,]) compopt -o nospace ;;
            esac
            ;;
        esac
    done < <("${words[0]/#\~/$HOME}" completion words "${words[@]:1}" 2>/dev/null)
} 2>/dev/null

complete -F _snag snag
