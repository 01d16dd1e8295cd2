/*
 * lesson.c - `snag lesson`: its command line, and what it does.
 */
#include "lesson/lesson.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lesson/embed.h"
#include "lesson/exercise.h"
#include "lesson/grade.h"
#include "lesson/lanes.h"
#include "lesson/page.h"
#include "lesson/stage.h"
#include "lesson/text.h"
#include "plan/names.h"
#include "run/run.h"
#include "run/say.h"
#include "version.h"

static const char help_text[] =
    "usage: snag lesson [LESSON] [OPTION]...\n"
    "Shows what happens inside a listener: runs one, with a client, under the shim, and shows each step, side by side "
    "what\n"
    "the kernel, the shim, the accept round and the user's callback did.  Without LESSON: what lessons there are.\n"
    "\n"
    "      --html FILE       a page to step through instead, one file that needs no other\n"
    "      --all DIR         pages of all lessons, in all languages, with an index\n"
    "      --step            wait for Enter before each step\n"
    "      --exercise        ask first what will happen\n"
    "      --lang LANG       en or zh (as LANG says)\n"
    "  -o, --output FILE     the steps as JSON Lines, too\n"
    "      --help, --version\n"
    "\n"
    "Another server:\n"
    "      --with libevent   the system's libevent instead of our listener: it tells nothing of its rounds\n"
    "      --server CMD      your own: started with the port to listen on, of 127.0.0.1, as its last argument and in\n"
    "                        SNAG_PORT, and ended by SIGTERM, after which its exit status is to be 0\n"
    "      --check           points as JSON on stdout instead of the lesson: of your server; without --server, whether "
    "the\n"
    "                        run showed what the lesson says\n"
    "\n"
    "Exit status: 0; with --check 1 if a point is missing; 125 snag failed.\n";

enum {
    OPTION_HTML = 256,
    OPTION_ALL,
    OPTION_STEP,
    OPTION_EXERCISE,
    OPTION_LANG,
    OPTION_WITH,
    OPTION_SERVER,
    OPTION_CHECK
};

const struct option lesson_options[] = {
    {"html", required_argument, NULL, OPTION_HTML},
    {"all", required_argument, NULL, OPTION_ALL},
    {"step", no_argument, NULL, OPTION_STEP},
    {"exercise", no_argument, NULL, OPTION_EXERCISE},
    {"lang", required_argument, NULL, OPTION_LANG},
    {"with", required_argument, NULL, OPTION_WITH},
    {"server", required_argument, NULL, OPTION_SERVER},
    {"check", no_argument, NULL, OPTION_CHECK},
    {"output", required_argument, NULL, 'o'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

struct asked {
    const char *name, *html, *all, *language, *server, *output;
    bool step, exercise, check;
    enum stage_server kind;
};

/* --- The command line -------------------------------------------------------------------------------------------------- */

static int fail(const char *option, const char *value, const char *why)
{
    say_error("%s%s%s: %s", option, *value ? " " : "", value, why);
    return EXIT_SNAG;
}

static int read_language(struct asked *asked, const char *value)
{
    if (embed_find(EMBED_WORDS, value, "words") == NULL)
        return fail("--lang", value, "there are en and zh");
    asked->language = value;
    return -1;
}

static int read_with(struct asked *asked, const char *value)
{
    if (strcmp(value, "libevent") != 0)
        return fail("--with", value, "expected libevent");
    asked->kind = STAGE_ORIGINAL;
    return -1;
}

/* Reads one option.  Returns -1 to go on, else the exit status. */
static int read_option(struct asked *asked, int option, const char *value)
{
    switch (option) {
    case OPTION_HTML:
        asked->html = value;
        return -1;
    case OPTION_ALL:
        asked->all = value;
        return -1;
    case OPTION_STEP:
        asked->step = true;
        return -1;
    case OPTION_EXERCISE:
        asked->exercise = true;
        return -1;
    case OPTION_LANG:
        return read_language(asked, value);
    case OPTION_WITH:
        return read_with(asked, value);
    case OPTION_SERVER:
        asked->server = value;
        return -1;
    case OPTION_CHECK:
        asked->check = true;
        return -1;
    case 'o':
        asked->output = value;
        return -1;
    case 'h':
        fputs(help_text, stdout);
        return fflush(stdout) == 0 ? 0 : EXIT_SNAG;
    case 'V':
        fputs(snag_version, stdout);
        return fflush(stdout) == 0 ? 0 : EXIT_SNAG;
    default:
        fputs("see snag lesson --help\n", stderr);
        return EXIT_SNAG;
    }
}

/* What can't be asked for together. */
static int check_asked(struct asked *asked)
{
    if (asked->server && asked->kind == STAGE_ORIGINAL)
        return fail("--server", "", "not together with --with");
    if (asked->server)
        asked->kind = STAGE_STUDENT;
    if (asked->all && asked->name)
        return fail("--all", asked->all, "makes all lessons; leave the name out");
    if (asked->all && asked->kind != STAGE_OURS)
        return fail("--all", asked->all, "not together with --with and --server");
    if (asked->check && asked->kind == STAGE_ORIGINAL)
        return fail("--check", "", "the lessons speak of our listener, not of libevent's");
    if (asked->check && (asked->html || asked->step || asked->exercise))
        return fail("--check", "", "not together with --html, --step and --exercise");
    if (asked->html && (asked->step || asked->exercise))
        return fail("--html", asked->html, "not together with --step and --exercise: a page has both");
    if (asked->name == NULL && (asked->html || asked->step || asked->exercise || asked->check || asked->server ||
                                asked->output || asked->kind == STAGE_ORIGINAL))
        return fail("lesson", "", "which one? snag lesson lists them");
    return -1;
}

/* As the C library looks for the language of messages. */
static const char *own_language(void)
{
    static const char *const names[] = {"LC_ALL", "LC_MESSAGES", "LANG"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return strncmp(value, "zh", 2) == 0 ? "zh" : "en";
    }
    return "en";
}

static int read_arguments(struct asked *asked, int argc, char **argv)
{
    int option, status = -1;
    optind = 0;
    opterr = 1;
    while (status == -1 && (option = getopt_long(argc, argv, "o:", lesson_options, NULL)) != -1)
        status = read_option(asked, option, optarg);
    if (status != -1)
        return status;
    if (optind < argc)
        asked->name = argv[optind++];
    if (optind < argc)
        return fail("lesson", argv[optind], "one lesson at a time");
    return check_asked(asked);
}

/* Returns 0 if all that was said on stdout got there, else EXIT_SNAG, having said so. */
static int said_all(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    say_error("can't write to standard output: %s", strerror(errno));
    return EXIT_SNAG;
}

/* --- The list ---------------------------------------------------------------------------------------------------------- */

static int list_lessons(const char *language)
{
    const struct embedded *file;
    for (size_t i = 0; (file = embed_at(i)) != NULL; i++) {
        json_t *lesson = file->kind == EMBED_LESSON ? text_lesson(file->name, language) : NULL;
        if (lesson)
            printf("%-20s %s\n", file->name, json_string_value(json_object_get(lesson, "title")));
        else if (file->kind == EMBED_LESSON)
            return EXIT_SNAG;
        json_decref(lesson);
    }
    return said_all();
}

static int unknown_lesson(const char *name)
{
    const struct embedded *file;
    struct nearest nearest = nearest_to(name, strlen(name));
    for (size_t i = 0; (file = embed_at(i)) != NULL; i++)
        nearest_offer(&nearest, file->kind == EMBED_LESSON ? file->name : NULL);
    if (nearest.best)
        say_error("no lesson '%s'; did you mean %s?", name, nearest.best);
    else
        say_error("no lesson '%s'; snag lesson lists them", name);
    return EXIT_SNAG;
}

/* --- One lesson -------------------------------------------------------------------------------------------------------- */

static int write_steps(const char *path, const json_t *steps)
{
    size_t i;
    json_t *step;
    FILE *out = fopen(path, "we");
    bool written = out != NULL;
    json_array_foreach(steps, i, step)
    {
        written = written && json_dumpf(step, out, JSON_COMPACT) == 0 && fputc('\n', out) != EOF;
    }
    if (out && fclose(out) != 0)
        written = false;
    if (!written)
        say_error("can't write %s: %s", path, strerror(errno));
    return written ? 0 : EXIT_SNAG;
}

static const char *server_of(const struct asked *asked)
{
    return asked->kind == STAGE_STUDENT ? asked->server : asked->kind == STAGE_ORIGINAL ? "libevent" : "evconnlistener";
}

static int print_report(const struct asked *asked, const json_t *lesson, const json_t *results)
{
    json_t *report = grade_report(lesson, server_of(asked), results);
    json_dumpf(report, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(report);
    return said_all() != 0 ? EXIT_SNAG : grade_all(results) ? 0 : 1;
}

static int show(const struct asked *asked, const json_t *lesson, const json_t *words, const json_t *steps,
                const json_t *results)
{
    struct lanes lanes = lanes_on(stdout, words);
    lanes.stepwise = asked->step;
    if (asked->html)
        return page_write(asked->html, lesson, words, steps, results, asked->language, server_of(asked));
    if (!asked->exercise)
        lanes_introduce(&lanes, lesson);
    if (asked->kind == STAGE_STUDENT)
        lanes_task(&lanes, lesson);
    if (!lanes_show(&lanes, steps))
        return 0;
    lanes_conclude(&lanes, lesson, results);
    return said_all();
}

/* The run is made; what is said of it? */
static int account(const struct asked *asked, const json_t *lesson, const json_t *words, const json_t *steps,
                   int answer)
{
    static const char *const keys[] = {[STAGE_OURS] = "claim", [STAGE_ORIGINAL] = "none", [STAGE_STUDENT] = "grade"};
    json_t *results = grade_checks(lesson, keys[asked->kind], steps);
    int status = results ? 0 : EXIT_SNAG;
    if (status == 0 && asked->output)
        status = write_steps(asked->output, steps);
    if (status == 0 && asked->exercise)
        status = exercise_answer(lesson, words, steps, answer);
    if (status == 0)
        status = asked->check ? print_report(asked, lesson, results) : show(asked, lesson, words, steps, results);
    json_decref(results);
    return status;
}

/* Only lessons whose question a server of any kind answers have grades. */
static int not_for_students(const char *name)
{
    const struct embedded *file;
    char names[512] = "";
    size_t at = 0;
    for (size_t i = 0; (file = embed_at(i)) != NULL && at < sizeof names; i++) {
        json_t *lesson = file->kind == EMBED_LESSON ? text_lesson(file->name, "en") : NULL;
        if (json_object_get(lesson, "grade"))
            at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", at ? ", " : "", file->name);
        json_decref(lesson);
    }
    say_error("lesson %s looks into our listener; for a server of your own there are: %s", name, names);
    return EXIT_SNAG;
}

static int run_lesson(const struct asked *asked, const json_t *lesson, const json_t *words)
{
    int status = 0, answer = 0;
    if (asked->kind == STAGE_STUDENT && json_object_get(lesson, "grade") == NULL)
        return not_for_students(asked->name);
    if (asked->exercise && (answer = exercise_ask(lesson, words)) < 0)
        return EXIT_SNAG;
    json_t *steps = stage_run(lesson, asked->kind, asked->server, &status);
    if (steps)
        status = account(asked, lesson, words, steps, answer);
    json_decref(steps);
    return status;
}

int cmd_lesson(int argc, char **argv)
{
    struct asked asked = {.language = own_language()};
    int status = read_arguments(&asked, argc, argv);
    if (status != -1)
        return status;
    if (asked.all)
        return page_write_all(asked.all);
    if (asked.name == NULL)
        return list_lessons(asked.language);
    if (embed_find(EMBED_LESSON, "en", asked.name) == NULL)
        return unknown_lesson(asked.name);
    json_t *lesson = text_lesson(asked.name, asked.language), *words = text_words(asked.language);
    status = lesson ? run_lesson(&asked, lesson, words) : EXIT_SNAG;
    json_decref(words);
    json_decref(lesson);
    return status;
}
