/* values.c - the values that options can have, by the option's name. */
#include <string.h>

#include "completion/completion.h"
#include "control/found.h"
#include "explore/case.h"
#include "plan/names.h"
#include "run/environment.h"
#include "run/verdict.h"

#include <stdio.h>

/* What kind of word an option takes.  A list has commas. */
enum kind { A_RULE, A_FILE, A_FOLDER, A_COMMAND, A_SIGNAL, A_FORMAT, ONE_OF, VERDICTS, FAULTS, CALLS, MODES };

/* One that is not here takes what nobody can guess: a number, a time, a text. */
static const struct valued {
    const char *subcommand; /* NULL: in all others */
    const char *option;
    enum kind kind;
    const char *words[4]; /* ONE_OF */
} options[] = {
    {"explore", "output", A_FOLDER, {0}},
    {"replay", "output", A_FOLDER, {0}},
    {"lesson", "all", A_FOLDER, {0}},
    {"lesson", "html", A_FILE, {0}},
    {"lesson", "server", A_COMMAND, {0}},
    {"lesson", "with", ONE_OF, {"libevent"}},
    {"lesson", "lang", ONE_OF, {"en", "zh"}},
    {NULL, "e", A_RULE, {0}},
    {NULL, "inject", A_RULE, {0}},
    {NULL, "plan", A_FILE, {0}},
    {NULL, "output", A_FILE, {0}},
    {NULL, "summary", A_FILE, {0}},
    {NULL, "baseline", A_FILE, {0}},
    {NULL, "write-baseline", A_FILE, {0}},
    {NULL, "client", A_COMMAND, {0}},
    {NULL, "ready", A_COMMAND, {0}},
    {NULL, "stop-signal", A_SIGNAL, {0}},
    {NULL, "format", A_FORMAT, {0}},
    {NULL, "color", ONE_OF, {"auto", "always", "never"}},
    {NULL, "backend", ONE_OF, {"auto", "preload", "seccomp"}},
    {NULL, "fail-on", VERDICTS, {0}},
    {NULL, "faults", FAULTS, {0}},
    {NULL, "sites", CALLS, {0}},
    {NULL, "modes", MODES, {0}},
};

static const struct valued *find(const char *subcommand, const char *name)
{
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        if (strcmp(options[i].option, name) == 0 &&
            (options[i].subcommand == NULL || strcmp(options[i].subcommand, subcommand) == 0))
            return &options[i];
    return NULL;
}

static void offer_verdicts(const char *before, size_t length, const char *word)
{
    for (enum verdict verdict = VERDICT_UNTESTED; verdict < VERDICT_COUNT; verdict++)
        completion_offer(before, length, word, verdict_word(verdict), "");
}

static void offer_modes(const char *before, size_t length, const char *word)
{
    for (enum mode mode = 0; mode < MODE_CONTROL; mode++)
        completion_offer(before, length, word, mode_word(mode), "");
}

static void offer_calls(const char *before, size_t length, const char *word)
{
    for (enum call call = 0; call < CALL_COUNT; call++)
        completion_offer(before, length, word, call_info(call)->name, "");
}

/* Every errno that some call can have, and what can be made of an address. */
static void offer_faults(const char *before, size_t length, const char *word)
{
    static const char *const tamperings[] = {"socklen=0", "family=unspec", "fdmin=1024"};
    for (int number = 1; number < ERRNO_MAX; number++)
        for (enum call call = 0; call < CALL_COUNT; call++)
            if (call_errno(call, number) != NULL) {
                completion_offer(before, length, word, call_errno(call, number)->name, "");
                break;
            }
    for (size_t i = 0; i < sizeof tamperings / sizeof tamperings[0]; i++)
        completion_offer(before, length, word, tamperings[i], "");
}

/* The last word of a list, behind those that are there. */
static void offer_list(enum kind kind, const char *before, const char *word)
{
    char whole[1024];
    if ((size_t)snprintf(whole, sizeof whole, "%s%s", before, word) >= sizeof whole)
        return;
    const char *comma = strrchr(whole + strlen(before), ',');
    size_t length = comma != NULL ? (size_t)(comma + 1 - whole) : strlen(before);
    word = whole + length;
    if (kind == VERDICTS)
        offer_verdicts(whole, length, word);
    else if (kind == MODES)
        offer_modes(whole, length, word);
    else if (kind == CALLS)
        offer_calls(whole, length, word);
    else
        offer_faults(whole, length, word);
}

void completion_value(const char *subcommand, const char *name, const char *before, const char *word)
{
    const struct valued *option = find(subcommand, name);
    size_t length = strlen(before);
    if (option == NULL)
        return;
    switch (option->kind) {
    case A_RULE:
        completion_rule(before, word);
        return;
    case A_FILE:
        puts(":files");
        return;
    case A_FOLDER:
        puts(":folders");
        return;
    case A_COMMAND:
        puts(":commands");
        return;
    case A_SIGNAL:
        for (size_t i = 0; signal_by_index(i) != NULL; i++)
            completion_offer(before, length, word, signal_by_index(i), "");
        return;
    case A_FORMAT:
        for (enum environment_format format = FORMAT_ENV; format < FORMAT_COUNT; format++)
            completion_offer(before, length, word, environment_name(format), "");
        return;
    case ONE_OF:
        for (size_t i = 0; i < sizeof option->words / sizeof option->words[0] && option->words[i] != NULL; i++)
            completion_offer(before, length, word, option->words[i], "");
        return;
    case VERDICTS:
    case FAULTS:
    case CALLS:
    case MODES:
        offer_list(option->kind, before, word);
        return;
    }
}

void completion_sessions(const char *word)
{
    struct found *list;
    char pid[16];
    ssize_t count = found_list(&list);
    for (ssize_t i = 0; i < count; i++) {
        snprintf(pid, sizeof pid, "%d", (int)list[i].pid);
        completion_offer("", 0, word, list[i].name[0] != '\0' ? list[i].name : pid, "");
    }
    if (count >= 0)
        found_free(list, count);
}
