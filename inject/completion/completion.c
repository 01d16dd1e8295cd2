#include "completion/completion.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/ctl.h"
#include "engine/call.h"
#include "help/help.h"
#include "lesson/embed.h"
#include "run/run.h"
#include "run/say.h"
#include "version.h"

#define SCRIPT(id, name) \
    __asm__(".pushsection .rodata\n" \
            "completion_" #id ": .incbin \"inject/completion/" name "\"\n" \
            ".byte 0\n" \
            ".popsection"); \
    extern const char completion_##id[] __attribute__((visibility("hidden")));
SCRIPT(bash, "snag.bash")
SCRIPT(zsh, "_snag")

void completion_offer(const char *before, size_t length, const char *word, const char *candidate, const char *end)
{
    if (strncasecmp(word, candidate, strlen(word)) == 0)
        printf("%.*s%s%s\n", (int)length, before, candidate, end);
}

static void offer(const char *word, const char *candidate)
{
    completion_offer("", 0, word, candidate, "");
}

/* --- Options ------------------------------------------------------------------------------------------------------ */

static bool has_option(const struct subcommand *subcommand, int option)
{
    return subcommand->takes == NULL || subcommand->takes(subcommand->name, option);
}

/* Offers the options; one that needs a value ends in = and goes on. */
static void offer_options(const struct subcommand *subcommand, const char *word)
{
    char text[64];
    for (const struct option *option = subcommand->options; option->name != NULL; option++) {
        snprintf(text, sizeof text, "--%s", option->name);
        if (has_option(subcommand, option->val))
            completion_offer("", 0, word, text, option->has_arg == required_argument ? "=" : "");
    }
    for (const char *letter = subcommand->letters; *letter != '\0'; letter++) {
        snprintf(text, sizeof text, "-%c", *letter);
        if (*letter != ':' && *letter != '+')
            offer(word, text);
    }
}

/* Returns the option whose value is not in WORD but in the next: its name, of a short one the letter if it has no other. */
static const char *wants_value(const struct subcommand *subcommand, const char *word)
{
    static char letter[2];
    const char *found;
    if (word[0] != '-' || word[1] == '\0')
        return NULL;
    for (const struct option *option = subcommand->options; option->name != NULL; option++) {
        bool named = word[1] == '-' ? strcmp(word + 2, option->name) == 0 : option->val == word[1] && word[2] == '\0';
        if (named)
            return option->has_arg == required_argument ? option->name : NULL;
    }
    letter[0] = word[1];
    found = word[1] != ':' && word[2] == '\0' ? strchr(subcommand->letters, word[1]) : NULL;
    return found != NULL && found[1] == ':' ? letter : NULL;
}

/* --- Words that are no options ------------------------------------------------------------------------------------ */

/* The folders of cases below here, or where WORD leads. */
static void offer_cases(const char *word)
{
    static const char end[] = "/case.json";
    const char *patterns[] = {"cases/*", "*/cases/*", NULL};
    char pattern[4096];
    for (size_t i = 0; patterns[i] != NULL; i++) {
        glob_t found;
        snprintf(pattern, sizeof pattern, "%s%s", patterns[i], end);
        if (glob(pattern, 0, NULL, &found) != 0)
            continue;
        for (size_t j = 0; j < found.gl_pathc; j++) {
            found.gl_pathv[j][strlen(found.gl_pathv[j]) - strlen(end)] = '\0';
            offer(word, found.gl_pathv[j]);
        }
        globfree(&found);
    }
    puts(":folders");
}

static void offer_lessons(const char *word)
{
    const struct embedded *file;
    for (size_t i = 0; (file = embed_at(i)) != NULL; i++)
        if (file->kind == EMBED_LESSON)
            offer(word, file->name);
}

/* [SESSION] COMMAND [RULE]...: PLACE is how many of them are there before WORD, FIRST the first. */
static void offer_for_ctl(const char *first, int place, const char *word, const char *before_last)
{
    if (place == 0)
        completion_sessions(word);
    for (size_t i = 0; (place == 0 || (place == 1 && !ctl_is_command(first))) && ctl_command(i) != NULL; i++)
        offer(word, ctl_command(i));
    if (place > 0 && (strcmp(first, "add") == 0 || strcmp(before_last, "add") == 0))
        completion_rule("", word);
}

static void offer_calls(const char *word)
{
    for (enum call call = 0; call < CALL_COUNT; call++)
        offer(word, call_info(call)->name);
}

/* WORD is no option of the subcommand NAME; WORDS, of which there are COUNT, are those before it. */
static void offer_words(const char *name, char **words, int count, const char *word)
{
    const char *first = count > 0 ? words[0] : "", *second = count > 1 ? words[1] : first;
    if (strcmp(name, "ctl") == 0)
        offer_for_ctl(first, count, word, second);
    else if (strcmp(name, "session") == 0 && count == 0)
        offer(word, "start"), offer(word, "stop");
    else if (strcmp(name, "session") == 0 && strcmp(first, "stop") == 0)
        completion_sessions(word);
    else if (strcmp(name, "faults") == 0 && count == 0)
        offer_calls(word);
    else if (strcmp(name, "lesson") == 0 && count == 0)
        offer_lessons(word);
    else if (strcmp(name, "replay") == 0 && count == 0)
        offer_cases(word);
    else if (strcmp(name, "diff") == 0)
        puts(":folders");
    else if (strcmp(name, "report") == 0)
        puts(":files");
}

/* --- A command line ----------------------------------------------------------------------------------------------- */

static void offer_subcommands(const struct subcommand *table, size_t count, const char *word)
{
    for (size_t i = 0; i < count; i++)
        offer(word, table[i].name);
    offer(word, "help");
    offer(word, "completion");
    offer(word, "--help");
    offer(word, "--version");
}

static void offer_topics(const struct subcommand *table, size_t count, const char *word)
{
    for (size_t i = 0; help_topic(i) != NULL; i++)
        offer(word, help_topic(i));
    for (size_t i = 0; i < count; i++)
        offer(word, table[i].name);
}

/* Behind --: the server, a command with its arguments. */
static void offer_server(bool is_first)
{
    puts(is_first ? ":commands" : ":files");
}

/* The COUNT words behind the subcommand; the last is the one to complete. */
static void complete(const struct subcommand *subcommand, char **words, int count)
{
    char **plain = calloc((size_t)count + 1, sizeof *plain);
    const char *word = words[count - 1], *option = NULL, *equals = strchr(word, '=');
    int plain_count = 0;
    bool behind = false;
    for (int i = 0; plain != NULL && i + 1 < count && !behind; i++) {
        behind = option == NULL && strcmp(words[i], "--") == 0;
        if (behind)
            offer_server(i + 2 == count);
        else if (option == NULL && words[i][0] != '-')
            plain[plain_count++] = words[i];
        option = option == NULL ? wants_value(subcommand, words[i]) : NULL;
    }
    if (behind)
        ;
    else if (option != NULL)
        completion_value(subcommand->name, option, "", word);
    else if (strncmp(word, "--", 2) == 0 && equals != NULL) {
        char before[64] = "", name[64] = "";
        snprintf(before, sizeof before, "%.*s", (int)(equals + 1 - word), word);
        snprintf(name, sizeof name, "%.*s", (int)(equals - word - 2), word + 2);
        completion_value(subcommand->name, name, before, equals + 1);
    } else if (word[0] == '-')
        offer_options(subcommand, word);
    else if (plain != NULL)
        offer_words(subcommand->name, plain, plain_count, word);
    free(plain);
}

static void complete_line(const struct subcommand *table, size_t count, int word_count, char **words)
{
    if (word_count == 1) {
        offer_subcommands(table, count, words[0]);
        return;
    }
    if (strcmp(words[0], "help") == 0 && word_count == 2)
        offer_topics(table, count, words[1]);
    else if (strcmp(words[0], "completion") == 0 && word_count == 2)
        offer(words[1], "bash"), offer(words[1], "zsh");
    for (size_t i = 0; i < count; i++)
        if (strcmp(table[i].name, words[0]) == 0)
            complete(&table[i], words + 1, word_count - 1);
}

static const char help[] =
    "usage: snag completion bash|zsh\n"
    "Prints a script for the shell that completes the command lines of snag.  To have it from now on:\n"
    "  . <(snag completion bash)\n"
    "\n"
    "      --help, --version\n";

int completion_run(const struct subcommand *table, size_t count, int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (argc > 2 && strcmp(what, "words") == 0)
        complete_line(table, count, argc - 2, argv + 2);
    else if (argc == 2 && strcmp(what, "bash") == 0)
        fputs(completion_bash, stdout);
    else if (argc == 2 && strcmp(what, "zsh") == 0)
        fputs(completion_zsh, stdout);
    else if (argc == 2 && strcmp(what, "--help") == 0)
        fputs(help, stdout);
    else if (argc == 2 && strcmp(what, "--version") == 0)
        fputs(snag_version, stdout);
    else {
        say_error("expected snag completion bash, or snag completion zsh");
        return EXIT_SNAG;
    }
    return fflush(stdout) == 0 ? 0 : EXIT_SNAG;
}
