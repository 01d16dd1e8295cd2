/*
 * ctl.c - `snag ctl`: from the command line to a request, and from the answer to words.  What a command does is in
 * run/command.c, on the other end.
 */
#include "control/ctl.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control/found.h"
#include "plan/names.h"
#include "run/boardfile.h"
#include "run/clock.h"
#include "run/run.h"
#include "run/say.h"
#include "version.h"

static const char help_text[] =
    "usage: snag ctl                          list the sessions of this user\n"
    "       snag ctl [SESSION] list           the rules in force\n"
    "       snag ctl [SESSION] add RULE...    add rules behind those that are there; prints their numbers\n"
    "       snag ctl [SESSION] del RULE...    delete rules, by number or name; --all: every one\n"
    "       snag ctl [SESSION] pause|resume   rules neither count nor fire in between\n"
    "       snag ctl [SESSION] reset [RULE]...   begin anew: all counters at zero (all rules)\n"
    "       snag ctl [SESSION] stats          what was counted, who is attached\n"
    "Looks at, and changes, the fault plan of a server that runs under snag run, snag trace or snag session.\n"
    "\n"
    "SESSION is the process number of its snag, or what --name called it; it may be left out where there is\n"
    "one session alone.  A change is all or nothing: each call of the server is decided by the plan before\n"
    "it or by the plan after it, and once the command is back, by the plan after it.  Rules that stay keep\n"
    "their counts.  The window of a rule that is added or reset (after=, for=) begins then.\n"
    "\n"
    "      --json              list, stats and the sessions as JSON\n"
    "      --all               with del: every rule\n"
    "      --help, --version\n"
    "\n"
    "Exit status: 0; 125 if the session is not there, or refuses.  For example:\n"
    "  snag ctl add accept4:error=EMFILE:for=2s\n";

enum { OPTION_JSON = 256, OPTION_ALL, OPTION_HELP, OPTION_VERSION };

const struct option ctl_options[] = {
    {"json", no_argument, NULL, OPTION_JSON},
    {"all", no_argument, NULL, OPTION_ALL},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

/* What was asked for. */
struct order {
    bool json, all;
    const char *session; /* NULL: the only one */
    char **rules;
    int rule_count;
};

struct command {
    const char *name;
    const char *request;
    int (*show)(const struct order *order, const json_t *answer);
    bool needs_rules, takes_rules;
};

/* --- Words ------------------------------------------------------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static intmax_t number_of(const json_t *object, const char *key)
{
    return (intmax_t)json_integer_value(json_object_get(object, key));
}

static int show_json(const json_t *object)
{
    if (json_dumpf(object, stdout, JSON_INDENT(2)) == 0)
        putchar('\n');
    return 0;
}

static int show_nothing(const struct order *order, const json_t *answer)
{
    (void)order;
    (void)answer;
    return 0;
}

/* For scripts: the numbers alone, a line each. */
static int show_numbers(const struct order *order, const json_t *answer)
{
    size_t i;
    json_t *number;
    (void)order;
    json_array_foreach(json_object_get(answer, "numbers"), i, number)
    {
        printf("%" JSON_INTEGER_FORMAT "\n", json_integer_value(number));
    }
    return 0;
}

static void show_paused(const json_t *answer)
{
    if (json_is_true(json_object_get(answer, "paused")))
        printf("paused: no rule counts or fires\n");
}

static int show_list(const struct order *order, const json_t *answer)
{
    size_t i;
    json_t *rule, *rules = json_object_get(answer, "rules");
    if (order->json)
        return show_json(rules);
    show_paused(answer);
    if (json_array_size(rules) == 0)
        printf("no rules\n");
    else
        printf("RULE  TEXT\n");
    json_array_foreach(rules, i, rule)
    {
        printf("%4jd  %s\n", number_of(rule, "rule"), text_of(rule, "text"));
    }
    return 0;
}

static void show_rules(const json_t *answer)
{
    size_t i;
    json_t *rule, *rules = json_object_get(answer, "rules"), *deleted = json_object_get(answer, "deleted");
    if (json_array_size(rules) > 0)
        printf("\nRULE     MATCHED    INJECTED  MISSED  YIELDED  TEXT\n");
    json_array_foreach(rules, i, rule)
    {
        printf("%4jd  %10jd  %10jd  %6jd  %7jd  %s\n", number_of(rule, "rule"), number_of(rule, "matched"),
               number_of(rule, "injected"), number_of(rule, "missed"), number_of(rule, "yielded"),
               text_of(rule, "text"));
    }
    if (number_of(deleted, "rules") > 0)
        printf("deleted: %jd rule%s, matched %jd, injected %jd\n", number_of(deleted, "rules"),
               number_of(deleted, "rules") == 1 ? "" : "s", number_of(deleted, "matched"),
               number_of(deleted, "injected"));
}

static void show_calls(const json_t *answer)
{
    size_t i;
    json_t *call, *calls = json_object_get(answer, "calls");
    bool any = false;
    json_array_foreach(calls, i, call)
    {
        if (number_of(call, "seen") == 0)
            continue;
        if (!any)
            printf("\nCALL               RECORDS      FAILED    INJECTED\n");
        any = true;
        printf("%-16s  %8jd  %10jd  %10jd%s\n", text_of(call, "call"), number_of(call, "seen"),
               number_of(call, "failed"), number_of(call, "injected"),
               json_is_true(json_object_get(call, "recorded")) ? "" : "   (only those that a rule acted on)");
    }
}

static void show_processes(const json_t *answer)
{
    size_t i;
    json_t *process, *list = json_object_get(answer, "processes");
    printf("attached: %jd program%s", number_of(answer, "attached"), number_of(answer, "attached") == 1 ? "" : "s");
    json_array_foreach(list, i, process)
    {
        printf("%s %s (%jd)", i == 0 ? ", living now:" : ",", text_of(process, "comm"), number_of(process, "pid"));
    }
    putchar('\n');
}

/* What a session is about, in a few words. */
static void show_about(const json_t *answer)
{
    size_t i;
    json_t *word;
    printf("snag %s", text_of(answer, "kind"));
    json_array_foreach(json_object_get(answer, "server"), i, word)
    {
        printf("%s %s", i == 0 ? ":" : "", json_string_value(word));
    }
}

static int show_stats(const struct order *order, const json_t *answer)
{
    const json_t *ready = json_object_get(answer, "ready_ms");
    if (order->json)
        return show_json(answer);
    show_about(answer);
    printf("\nrunning for %.1f s", (double)number_of(answer, "running_ms") / 1000);
    if (json_is_integer(ready))
        printf(", ready after %jd ms\n", number_of(answer, "ready_ms"));
    else
        printf(", not ready\n");
    show_paused(answer);
    show_processes(answer);
    printf("records: %jd, lost: %jd\n", number_of(answer, "recorded"), number_of(answer, "lost"));
    show_rules(answer);
    show_calls(answer);
    return 0;
}

static const struct command commands[] = {
    {"list", "stats", show_list, false, false},       {"add", "add", show_numbers, true, true},
    {"del", "del", show_nothing, true, true},         {"pause", "pause", show_nothing, false, false},
    {"resume", "resume", show_nothing, false, false}, {"reset", "reset", show_nothing, false, true},
    {"stats", "stats", show_stats, false, false},
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

static const struct command *command_of(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

const char *ctl_command(size_t i)
{
    return i < COMMANDS ? commands[i].name : NULL;
}

bool ctl_is_command(const char *name)
{
    return command_of(name) != NULL;
}

/* --- The sessions ------------------------------------------------------------------------------------------------- */

/* What is left of sessions that were killed goes, and that is said to who looks at them all: a command is of one session. */
static void clean_up(void)
{
    size_t count = boardfile_clean();
    if (count > 0)
        say_note("removed what %zu session%s that %s killed had left", count, count == 1 ? "" : "s",
                 count == 1 ? "was" : "were");
}

static json_t *ask(const struct found *found, const char *request, char why[FOUND_WHY_MAX])
{
    json_t *object = json_pack("{s:s}", "command", request);
    json_t *answer = object != NULL ? found_ask(found, object, why) : NULL;
    if (object == NULL)
        snprintf(why, FOUND_WHY_MAX, "%s", strerror(ENOMEM));
    json_decref(object);
    return answer;
}

/* Prints one session to OUT: its number, its name, what it is about. */
static void show_session(const struct found *found)
{
    char why[FOUND_WHY_MAX], strings[1024];
    json_t *answer = ask(found, "info", why);
    struct passwd entry, *user = NULL;
    if (found->owner != geteuid() && getpwuid_r(found->owner, &entry, strings, sizeof strings, &user) != 0)
        user = NULL;
    printf("%-8d %-16s ", (int)found->pid, found->name[0] ? found->name : "-");
    if (user != NULL)
        printf("(of %s) ", user->pw_name);
    if (answer != NULL) {
        show_about(answer);
        printf("%s\n", json_is_true(json_object_get(answer, "paused")) ? " (paused)" : "");
    } else {
        printf("%s\n", why);
    }
    json_decref(answer);
}

static json_t *session_json(const struct found *found)
{
    char why[FOUND_WHY_MAX];
    json_t *answer = ask(found, "info", why);
    if (answer == NULL)
        return json_pack("{s:i, s:s?, s:s}", "pid", (int)found->pid, "name", found->name[0] ? found->name : NULL,
                         "error", why);
    json_object_del(answer, "ok");
    return answer;
}

static int list_sessions(const struct order *order)
{
    struct found *list;
    clean_up();
    ssize_t count = found_list(&list);
    if (count < 0) {
        say_error("can't list the sessions: %s", strerror(errno));
        return EXIT_SNAG;
    }
    json_t *array = json_array();
    if (!order->json && count > 0)
        printf("SESSION  NAME             WHAT\n");
    for (ssize_t i = 0; i < count; i++) {
        if (order->json)
            json_array_append_new(array, session_json(&list[i]));
        else
            show_session(&list[i]);
    }
    if (order->json)
        show_json(array);
    else if (count == 0)
        printf("no sessions\n");
    json_decref(array);
    found_free(list, count);
    return 0;
}

/* Says which sessions there are, on stderr. */
static void say_sessions(const struct found *list, ssize_t count)
{
    if (count == 0)
        say_error("no session is running; snag run, snag trace and snag session start begin one");
    for (ssize_t i = 0; i < count; i++) {
        char why[FOUND_WHY_MAX];
        json_t *answer = ask(&list[i], "info", why);
        const json_t *server = json_object_get(answer, "server");
        const char *program = json_string_value(json_array_get(server, 0));
        say_error("  %d%s%s: %s%s%s", (int)list[i].pid, list[i].name[0] ? " " : "", list[i].name,
                  answer != NULL ? text_of(answer, "kind") : why, program != NULL ? " of " : "",
                  program != NULL ? program : "");
        json_decref(answer);
    }
}

/* Finds the session that is meant, NULL: the only one.  Returns false, having said why. */
static bool choose(const char *name, struct found *out)
{
    struct found *list;
    if (name != NULL && found_session(name, out))
        return true;
    ssize_t count = found_list(&list);
    if (count < 0) {
        say_error("can't list the sessions: %s", strerror(errno));
        return false;
    }
    bool only = name == NULL && count == 1;
    if (only) {
        *out = list[0];
        out->folder = dup(list[0].folder);
        only = out->folder >= 0;
    } else if (name != NULL) {
        say_error("no session %s%s", name, count > 0 ? "; there are:" : "");
        say_sessions(list, count);
    } else {
        if (count > 1)
            say_error("which session?  There are:");
        say_sessions(list, count);
    }
    found_free(list, count);
    return only;
}

/* --- A command ---------------------------------------------------------------------------------------------------- */

static json_t *request_of(const struct command *command, const struct order *order)
{
    json_t *rules = json_array();
    for (int i = 0; i < order->rule_count; i++) {
        json_t *rule = json_string(order->rules[i]);
        if (rule == NULL) {
            say_error("%s %s: expected UTF-8", command->name, order->rules[i]);
            json_decref(rules);
            return NULL;
        }
        json_array_append_new(rules, rule);
    }
    return json_pack("{s:s, s:o}", "command", command->request, "rules", rules);
}

/* Sends REQUEST to the session and shows what comes back.  Returns the exit status. */
static int send_to(const struct found *found, const json_t *request, const struct command *command,
                   const struct order *order)
{
    char why[FOUND_WHY_MAX];
    json_t *answer = found_ask(found, request, why);
    int status = EXIT_SNAG;
    if (answer == NULL)
        say_error("session %d: %s", (int)found->pid, why);
    else if (json_is_true(json_object_get(answer, "ok")))
        status = command->show(order, answer);
    else
        fputs(text_of(answer, "error"), stderr);
    if (answer != NULL && json_object_get(answer, "notes") != NULL)
        fputs(text_of(answer, "notes"), stderr);
    json_decref(answer);
    return status;
}

static int run_command(const struct command *command, const struct order *order)
{
    struct found found;
    if (command->needs_rules && order->rule_count == 0 && !order->all) {
        say_error("%s needs a rule; see snag ctl --help", command->name);
        return EXIT_SNAG;
    }
    if (order->all && (strcmp(command->name, "del") != 0 || order->rule_count > 0)) {
        say_error("--all goes with del alone, and instead of rules");
        return EXIT_SNAG;
    }
    if (!command->takes_rules && order->rule_count > 0) {
        say_error("%s takes no '%s'; see snag ctl --help", command->name, order->rules[0]);
        return EXIT_SNAG;
    }
    if (!choose(order->session, &found))
        return EXIT_SNAG;
    json_t *request = request_of(command, order);
    int status = request != NULL ? send_to(&found, request, command, order) : EXIT_SNAG;
    json_decref(request);
    found_close(&found);
    return status;
}

int ctl_stop(const char *session)
{
    static const struct command stop = {"stop", "stop", show_nothing, false, false};
    struct order order = {.session = session};
    struct timespec moment = {.tv_nsec = 10 * 1000 * 1000};
    struct found found, again;
    char pid[16];
    if (!choose(session, &found))
        return EXIT_SNAG;
    snprintf(pid, sizeof pid, "%d", (int)found.pid);
    json_t *request = request_of(&stop, &order);
    int status = request != NULL ? send_to(&found, request, &stop, &order) : EXIT_SNAG;
    json_decref(request);
    found_close(&found);
    for (int i = 0; status == 0 && i < FOUND_PATIENCE_MS / 10 && found_session(pid, &again); i++) {
        found_close(&again);
        nanosleep(&moment, NULL);
    }
    return status;
}

static int unknown_option(const char *argument)
{
    struct nearest nearest = nearest_to(argument + 2, strlen(argument) > 2 ? strcspn(argument + 2, "=") : 0);
    for (const struct option *option = ctl_options; option->name != NULL; option++)
        nearest_offer(&nearest, option->name);
    if (nearest.best != NULL)
        say_error("unknown option %s; did you mean --%s?", argument, nearest.best);
    else
        say_error("unknown option %s; see snag ctl --help", argument);
    return EXIT_SNAG;
}

static int unknown_command(const char *name)
{
    struct nearest nearest = nearest_to(name, strlen(name));
    for (size_t i = 0; i < COMMANDS; i++)
        nearest_offer(&nearest, commands[i].name);
    if (nearest.best != NULL)
        say_error("unknown command '%s'; did you mean %s?", name, nearest.best);
    else
        say_error("unknown command '%s'; there are list, add, del, pause, resume, reset, stats", name);
    return EXIT_SNAG;
}

static int show(const char *text)
{
    fputs(text, stdout);
    return fflush(stdout) == 0 ? 0 : EXIT_SNAG;
}

/* The words that are no options: [SESSION] [COMMAND [RULE]...]. */
static int run_words(struct order *order, int count, char **words)
{
    const struct command *command = &commands[0];
    if (count == 0)
        return list_sessions(order);
    if (!ctl_is_command(words[0])) {
        order->session = words[0];
        words++;
        count--;
    }
    if (count > 0) {
        command = command_of(words[0]);
        if (command == NULL)
            return unknown_command(words[0]);
        order->rules = words + 1;
        order->rule_count = count - 1;
    }
    return run_command(command, order);
}

int cmd_ctl(int argc, char **argv)
{
    struct order order = {0};
    int option;
    opterr = 0;
    optind = 0;
    for (;;) {
        option = getopt_long(argc, argv, "", ctl_options, NULL); /* options may stand anywhere */
        if (option == -1)
            break;
        if (option == OPTION_HELP)
            return show(help_text);
        if (option == OPTION_VERSION)
            return show(snag_version);
        if (option != OPTION_JSON && option != OPTION_ALL)
            return unknown_option(argv[optind - 1]);
        order.json |= option == OPTION_JSON;
        order.all |= option == OPTION_ALL;
    }
    int status = run_words(&order, argc - optind, argv + optind);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    say_error("can't print: %s", strerror(errno));
    return EXIT_SNAG;
}
