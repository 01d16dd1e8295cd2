#include "report/report.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <sys/stat.h>

#include "explore/explore.h"
#include "plan/names.h"
#include "report/campaign.h"
#include "report/reader.h"
#include "run/run.h"
#include "run/say.h"
#include "version.h"

static const char help_text[] =
    "usage: snag report [--json] TRACE\n"
    "       snag report [--json|--markdown|--junit|--html] [--fail-on LIST] DIR...\n"
    "Sums up a trace that snag run -o or snag trace -o wrote (- is stdin): the session, each rule, each\n"
    "call, each call site, and the life of each socket.  Or what snag explore left in folders, as one: the\n"
    "parts of a campaign that was spread with --shard.\n"
    "\n"
    "      --json              the same as JSON\n"
    "      --markdown          for a pull request;  --junit  for a CI system;  --html  for a browser\n"
    "      --fail-on LIST      verdicts that fail (crashed,deaf,unstoppable,exited,leaked,spun)\n"
    "      --help, --version\n"
    "\n"
    "Exit status: for a trace, 0; for folders, that of snag explore: 0 if nothing fails, 1 if something does,\n"
    "125 if they are not complete.  125 as well if something can't be read or a line is wrong, which is said\n"
    "then.  A trace that was never finished is reported as far as it goes, and called unfinished.\n";

enum { OPTION_JSON = 256, OPTION_MARKDOWN, OPTION_JUNIT, OPTION_HTML, OPTION_FAIL_ON, OPTION_HELP, OPTION_VERSION };

const struct option report_options[] = {
    {"json", no_argument, NULL, OPTION_JSON},
    {"markdown", no_argument, NULL, OPTION_MARKDOWN},
    {"junit", no_argument, NULL, OPTION_JUNIT},
    {"html", no_argument, NULL, OPTION_HTML},
    {"fail-on", required_argument, NULL, OPTION_FAIL_ON},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

/* What is asked for. */
struct wish {
    const char *format; /* NULL: text */
    uint32_t fail_on;
    bool fail_on_given;
};

/* Takes note of LINE and gives it back.  Returns -1 without memory. */
static int take_line(struct report *report, json_t *line)
{
    const char *type = json_string_value(json_object_get(line, "type"));
    int result = 0;
    if (strcmp(type, "call") == 0)
        result = figures_call(&report->figures, line) == 0 && callsites_call(&report->callsites, line) == 0
                     ? lives_call(report->lives, line)
                     : -1;
    else if (strcmp(type, "site") == 0)
        result = callsites_site(&report->callsites, line);
    else if (strcmp(type, "process") == 0)
        result = lives_process(report->lives, line);
    else if (strcmp(type, "session") == 0)
        report->session = json_incref(line);
    else if (strcmp(type, "plan") == 0)
        result = json_array_append(report->changes, line);
    else if (strcmp(type, "summary") == 0)
        report->summary = json_incref(line);
    json_decref(line);
    return result;
}

/* Reads all of the trace.  Returns -1, having said why. */
static int gather(struct report *report)
{
    json_t *line;
    int result = 0;
    struct reader *reader = reader_open(report->path);
    report->lives = lives_new();
    report->changes = json_array();
    if (reader == NULL || report->lives == NULL || report->changes == NULL) {
        say_error("can't read the trace %s: %s", report->path, strerror(errno));
        reader_close(reader);
        return -1;
    }
    while (result == 0 && (line = reader_next(reader)) != NULL)
        result = take_line(report, line);
    if (result == 0)
        result = callsites_finish(&report->callsites);
    if (result != 0)
        say_error("no memory for the report on %s", report->path);
    if (reader_errors(reader) > 0)
        result = -1;
    if (result == 0 && report->session == NULL) {
        say_error("%s: expected a trace, and it ends in the middle of its first line", report->path);
        result = -1;
    }
    report->cut = reader_cut(reader);
    reader_close(reader);
    figures_sort(&report->figures);
    lives_finish(report->lives);
    return result;
}

static int print(const struct report *report, bool as_json)
{
    errno = 0;
    if (as_json) {
        json_t *object = report_json(report);
        if (object == NULL || json_dumpf(object, stdout, JSON_INDENT(2)) != 0 || putchar('\n') == EOF)
            errno = errno != 0 ? errno : ENOMEM;
        json_decref(object);
    } else {
        report_text(report, stdout);
    }
    if (errno == 0 && fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    say_error("can't write the report: %s", strerror(errno));
    return EXIT_SNAG;
}

static int report_on(const char *path, bool as_json)
{
    struct report report = {.path = path};
    int result = gather(&report) == 0 ? print(&report, as_json) : EXIT_SNAG;
    json_decref(report.session);
    json_decref(report.summary);
    json_decref(report.changes);
    figures_clear(&report.figures);
    callsites_clear(&report.callsites);
    lives_free(report.lives);
    return result;
}

static int unknown_option(const char *argument)
{
    struct nearest nearest = nearest_to(argument + 2, strlen(argument) > 2 ? strcspn(argument + 2, "=") : 0);
    for (const struct option *option = report_options; option->name != NULL; option++)
        nearest_offer(&nearest, option->name);
    if (nearest.best != NULL)
        say_error("unknown option %s; did you mean --%s?", argument, nearest.best);
    else
        say_error("unknown option %s; see snag report --help", argument);
    return EXIT_SNAG;
}

static int show(const char *text)
{
    fputs(text, stdout);
    return fflush(stdout) == 0 ? 0 : EXIT_SNAG;
}

static int read_option(struct wish *wish, int option, const char *value)
{
    static const char *const formats[] = {"json", "markdown", "junit", "html"}; /* in the order of the options */
    const char *bad;
    if (option == OPTION_FAIL_ON) {
        wish->fail_on_given = true;
        if (config_verdicts(value, &wish->fail_on, &bad) == 0)
            return -1;
        say_error("--fail-on %s: no verdict '%.*s'", value, (int)strcspn(bad, ","), bad);
        return EXIT_SNAG;
    }
    if (wish->format != NULL) {
        say_error("one format alone: --%s or --%s", wish->format, formats[option - OPTION_JSON]);
        return EXIT_SNAG;
    }
    wish->format = formats[option - OPTION_JSON];
    return -1;
}

static bool is_folder(const char *path)
{
    struct stat status;
    return strcmp(path, "-") != 0 && stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static int report_on_all(const struct wish *wish, char **paths, int count)
{
    bool json = wish->format != NULL && strcmp(wish->format, "json") == 0;
    if (count == 0) {
        say_error("no trace given; snag run -o FILE and snag trace -o FILE write one");
        return EXIT_SNAG;
    }
    if (is_folder(paths[0])) {
        uint32_t fail_on = wish->fail_on_given ? wish->fail_on : config_fail_on();
        return campaign_report_on((const char *const *)paths, (size_t)count, wish->format, fail_on);
    }
    if (count > 1) {
        say_error("one trace alone: %s is one too many (options go before the trace)", paths[1]);
        return EXIT_SNAG;
    }
    if ((wish->format != NULL && !json) || wish->fail_on_given) {
        say_error("%s is a trace: --markdown, --junit, --html and --fail-on are for folders of snag explore", paths[0]);
        return EXIT_SNAG;
    }
    return report_on(paths[0], json);
}

int cmd_report(int argc, char **argv)
{
    struct wish wish = {.format = NULL};
    int option, result = -1;
    opterr = 0;
    optind = 0;
    while (result == -1) {
        int at = optind ? optind : 1;
        option = getopt_long(argc, argv, "+:", report_options, NULL);
        if (option == -1)
            return report_on_all(&wish, argv + optind, argc - optind);
        if (option == OPTION_HELP)
            return show(help_text);
        if (option == OPTION_VERSION)
            return show(snag_version);
        if (option == ':') {
            say_error("%s needs a value", argv[at]);
            return EXIT_SNAG;
        }
        result = option == '?' ? unknown_option(argv[at]) : read_option(&wish, option, optarg);
    }
    return result;
}
