/*
 * config.c - the command line of `snag explore`, and ./snag.conf.
 *
 * What concerns the server and its clients is the same as for `snag run`, and is read by run/options.c: those options are
 * passed on to it as they are.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "explore/explore.h"
#include "plan/duration.h"
#include "plan/names.h"
#include "run/clock.h"
#include "run/run.h"
#include "run/say.h"
#include "version.h"

#define CONF "snag.conf"

enum {
    CONF_LINE = 4096, /* bytes */
    CONF_LINES = 200,
    WORDS_ROOM = 1024, /* arguments */
};

static const char help_text[] =
    "usage: snag explore [OPTION]... -- SERVER [ARGUMENT]...\n"
    "Starts SERVER again and again, each time with another fault at another call, lets clients come, and says\n"
    "in one word what it did.  Nothing but its command line is needed.\n"
    "\n"
    "The client, which decides what it means to be served (without one: that connections are accepted):\n"
    "      --http PATH, --https PATH, --send S --expect S, --client CMD, --connect: as for snag run\n"
    "      --listen ADDR       this listener alone, of several\n"
    "\n"
    "The cases (--list shows them):\n"
    "      --quick             resource and connection errors (the default);  --all  whatever the kernel can say\n"
    "      --faults LIST       these alone: EMFILE,socklen=0,fdmin=1024\n"
    "      --sites LIST        these alone: accept4,bind, functions, or CALL@FUNCTION; globs\n"
    "      --modes LIST        these alone: once,burst,held,nth,exhaust\n"
    "      --impossible        also modes in which the kernel would not do it\n"
    "      --max-cases N       at most so many; with --seed N, drawn from all\n"
    "      --shard I/N         part I of N; snag report DIR... puts the parts together\n"
    "      --list              show the cases, and run none\n"
    "\n"
    "How they are tried:\n"
    "  -j, --jobs N            so many at once, each in a network namespace of its own (1); where that is refused,\n"
    "                          {port} and {dir} in the server's and the client's words keep them apart\n"
    "      --time-limit T      at most so long, all in all\n"
    "      --hold T            how long a held fault lasts (1s)\n"
    "      --grace T           a server that serves again later than this is slow (1s)\n"
    "      --patience T        one that does not by then is deaf (10s)\n"
    "      --max-cpu CORES, --max-calls N, --max-lines N, --max-leak N\n"
    "                          above control: spun (0.5 and 1000 a second), flooded (100 a second), leaked (10)\n"
    "      --ready CMD, --ready-timeout T, --stop-signal SIG, --stop-timeout T, --client-timeout T, --backend NAME:\n"
    "                          as for snag run\n"
    "\n"
    "What comes out:\n"
    "  -o, --output DIR        summary.json, report.html, junit.xml, cases/ID/ (snag-out)\n"
    "      --resume            go on with what DIR has of this exploration\n"
    "      --fail-on LIST      verdicts that fail (crashed,deaf,unstoppable,exited,leaked,spun)\n"
    "      --baseline FILE     what is listed there does not fail;  --write-baseline FILE  writes such a list\n"
    "  -q, --quiet             errors only            -v, --verbose  each case\n"
    "      --color=WHEN        auto, always, never (auto)\n"
    "      --help, --version\n"
    "\n"
    "./" CONF " may hold long options, one a line (http=/), and server=COMMAND.  Exit status: 0, all was judged and\n"
    "nothing fails; 1, something fails; 125, control failed, nothing was tested, or it is not complete.\n";

enum {
    OPTION_LISTEN = 256,
    OPTION_QUICK,
    OPTION_ALL,
    OPTION_FAULTS,
    OPTION_SITES,
    OPTION_MODES,
    OPTION_IMPOSSIBLE,
    OPTION_MAX_CASES,
    OPTION_SEED,
    OPTION_SHARD,
    OPTION_LIST,
    OPTION_TIME_LIMIT,
    OPTION_HOLD,
    OPTION_GRACE,
    OPTION_PATIENCE,
    OPTION_MAX_CPU,
    OPTION_MAX_CALLS,
    OPTION_MAX_LINES,
    OPTION_MAX_LEAK,
    OPTION_RESUME,
    OPTION_FAIL_ON,
    OPTION_BASELINE,
    OPTION_WRITE_BASELINE,
    OPTION_PASSED, /* to run/options.c, with its name */
    OPTION_COLOR,
    OPTION_SERVER, /* of the file alone */
    OPTION_HELP,
    OPTION_VERSION,
};

const struct option explore_options[] = {
    {"listen", required_argument, NULL, OPTION_LISTEN},
    {"quick", no_argument, NULL, OPTION_QUICK},
    {"all", no_argument, NULL, OPTION_ALL},
    {"faults", required_argument, NULL, OPTION_FAULTS},
    {"sites", required_argument, NULL, OPTION_SITES},
    {"modes", required_argument, NULL, OPTION_MODES},
    {"impossible", no_argument, NULL, OPTION_IMPOSSIBLE},
    {"max-cases", required_argument, NULL, OPTION_MAX_CASES},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"shard", required_argument, NULL, OPTION_SHARD},
    {"list", no_argument, NULL, OPTION_LIST},
    {"jobs", required_argument, NULL, 'j'},
    {"time-limit", required_argument, NULL, OPTION_TIME_LIMIT},
    {"hold", required_argument, NULL, OPTION_HOLD},
    {"grace", required_argument, NULL, OPTION_GRACE},
    {"patience", required_argument, NULL, OPTION_PATIENCE},
    {"max-cpu", required_argument, NULL, OPTION_MAX_CPU},
    {"max-calls", required_argument, NULL, OPTION_MAX_CALLS},
    {"max-lines", required_argument, NULL, OPTION_MAX_LINES},
    {"max-leak", required_argument, NULL, OPTION_MAX_LEAK},
    {"output", required_argument, NULL, 'o'},
    {"resume", no_argument, NULL, OPTION_RESUME},
    {"fail-on", required_argument, NULL, OPTION_FAIL_ON},
    {"baseline", required_argument, NULL, OPTION_BASELINE},
    {"write-baseline", required_argument, NULL, OPTION_WRITE_BASELINE},
    {"client", required_argument, NULL, OPTION_PASSED},
    {"client-timeout", required_argument, NULL, OPTION_PASSED},
    {"http", required_argument, NULL, OPTION_PASSED},
    {"https", required_argument, NULL, OPTION_PASSED},
    {"send", required_argument, NULL, OPTION_PASSED},
    {"expect", required_argument, NULL, OPTION_PASSED},
    {"connect", no_argument, NULL, OPTION_PASSED},
    {"backend", required_argument, NULL, OPTION_PASSED},
    {"ready", required_argument, NULL, OPTION_PASSED},
    {"ready-timeout", required_argument, NULL, OPTION_PASSED},
    {"stop-signal", required_argument, NULL, OPTION_PASSED},
    {"stop-timeout", required_argument, NULL, OPTION_PASSED},
    {"quiet", no_argument, NULL, 'q'},
    {"verbose", no_argument, NULL, 'v'},
    {"color", optional_argument, NULL, OPTION_COLOR},
    {"server", required_argument, NULL, OPTION_SERVER},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

bool explore_takes(const char *subcommand, int option)
{
    (void)subcommand;
    return option != OPTION_SERVER;
}

/* What is passed on. */
struct passing {
    char *words[WORDS_ROOM];
    int count;
};

struct reading {
    struct config *out;
    struct passing options; /* to run/options.c */
    struct passing server;  /* of the file */
    bool verbose;
    enum say_when color;
};

static int fail(const char *option, const char *value, const char *why)
{
    say_error("%s %s: %s", option, value, why);
    return EXIT_SNAG;
}

static int pass(struct passing *passing, char *word)
{
    if (word == NULL || passing->count == WORDS_ROOM - 2) {
        free(word);
        say_error("%s", word == NULL ? "no memory for the options" : "too many options");
        return EXIT_SNAG;
    }
    passing->words[passing->count++] = word;
    return -1;
}

static int pass_option(struct reading *reading, const char *name, const char *value)
{
    char *word = NULL;
    if (asprintf(&word, value != NULL ? "--%s=%s" : "--%s", name, value) < 0)
        word = NULL;
    return pass(&reading->options, word);
}

/* --- Values ------------------------------------------------------------------------------------------------------ */

static int read_duration(const char *option, const char *value, uint64_t *out)
{
    struct duration_fault fault;
    if (duration_parse(value, strlen(value), DURATION_BARE_REFUSED, out, &fault) != 0)
        return fail(option, value, fault.message);
    return *out == 0 ? fail(option, value, "must be above zero") : -1;
}

static int read_number(const char *option, const char *value, uint64_t least, uint64_t most, uint64_t *out)
{
    char *end, why[80];
    errno = 0;
    *out = strtoull(value, &end, 10);
    if (errno == 0 && end != value && *end == '\0' && strchr(value, '-') == NULL && *out >= least && *out <= most)
        return -1;
    snprintf(why, sizeof why, "expected a number from %" PRIu64 " to %" PRIu64, least, most);
    return fail(option, value, why);
}

static int read_real(const char *option, const char *value, double *out)
{
    char *end;
    *out = strtod(value, &end);
    if (end == value || *end != '\0' || !(*out > 0) || *out > 1e12)
        return fail(option, value, "expected a number above zero");
    return -1;
}

static int read_list(const char *option, const char *value, struct word_list *out)
{
    free(out->text);
    *out = (struct word_list){.text = strdup(value)};
    if (out->text == NULL)
        return fail(option, value, strerror(ENOMEM));
    for (char *rest = out->text, *word; (word = strsep(&rest, ",")) != NULL;) {
        if (word[0] == '\0')
            return fail(option, value, "a word of the list is empty");
        if (out->count == NAMES_LIST_MAX)
            return fail(option, value, "too many words");
        out->words[out->count++] = word;
    }
    return -1;
}

/* Whether WORD is an errno that a call can have, or a tampering. */
static bool is_fault(const char *word)
{
    static const char *const tamperings[] = {"socklen=", "family=", "fdmin="};
    for (size_t i = 0; i < sizeof tamperings / sizeof tamperings[0]; i++)
        if (strncmp(word, tamperings[i], strlen(tamperings[i])) == 0 && word[strlen(tamperings[i])] != '\0')
            return true;
    return errno_by_name(word, strlen(word)) != 0;
}

static int read_faults(const char *value, struct word_list *out)
{
    int result = read_list("--faults", value, out);
    for (size_t i = 0; i < out->count && result == -1; i++)
        if (!is_fault(out->words[i]))
            result =
                fail("--faults", out->words[i], "neither an errno nor a tampering (socklen=N, family=NAME, fdmin=N)");
    return result;
}

static int read_modes(const char *value, uint32_t *out)
{
    *out = 0;
    for (const char *word = value;; word++) {
        size_t length = strcspn(word, ",");
        enum mode mode = mode_by_word(word, length);
        if (mode >= MODE_CONTROL)
            return fail("--modes", value, "expected some of once, burst, held, nth, exhaust, with commas between them");
        *out |= UINT32_C(1) << mode;
        word += length;
        if (*word == '\0')
            return -1;
    }
}

int config_verdicts(const char *text, uint32_t *out, const char **bad)
{
    *out = 0;
    for (const char *word = text;; word++) {
        size_t length = strcspn(word, ",");
        enum verdict verdict = verdict_by_word(word, length);
        if (verdict == VERDICT_NONE) {
            *bad = word;
            return -1;
        }
        *out |= UINT32_C(1) << verdict;
        word += length;
        if (*word == '\0')
            return 0;
    }
}

static int read_fail_on(const char *value, uint32_t *out)
{
    const char *bad;
    if (config_verdicts(value, out, &bad) == 0)
        return -1;
    struct nearest nearest = nearest_to(bad, strcspn(bad, ","));
    for (enum verdict verdict = VERDICT_UNTESTED; verdict < VERDICT_COUNT; verdict++)
        nearest_offer(&nearest, verdict_word(verdict));
    say_error("--fail-on %s: no verdict '%.*s'%s%s", value, (int)strcspn(bad, ","), bad,
              nearest.best != NULL ? "; did you mean " : "", nearest.best != NULL ? nearest.best : "");
    return EXIT_SNAG;
}

static int read_shard(const char *value, struct config *out)
{
    char rest;
    if (sscanf(value, "%u/%u%c", &out->shard, &out->shards, &rest) != 2 || value[0] == '-' || out->shards == 0)
        return fail("--shard", value, "expected I/N, as 1/4");
    if (out->shard == 0 || out->shard > out->shards)
        return fail("--shard", value, "out of range: I goes from 1 to N");
    return -1;
}

static int read_color(const char *value, enum say_when *out)
{
    static const char *const names[] = {[SAY_AUTO] = "auto", [SAY_ALWAYS] = "always", [SAY_NEVER] = "never"};
    for (enum say_when when = SAY_AUTO; when <= SAY_NEVER; when++)
        if (strcmp(value != NULL ? value : "always", names[when]) == 0) {
            *out = when;
            return -1;
        }
    return fail("--color", value, "expected auto, always or never");
}

/* --- Options ----------------------------------------------------------------------------------------------------- */

static int read_threshold(struct config *out, int option, const char *value)
{
    uint64_t number = 0;
    int result;
    switch (option) {
    case OPTION_MAX_CPU:
        return read_real("--max-cpu", value, &out->thresholds.cpu);
    case OPTION_MAX_CALLS:
        return read_real("--max-calls", value, &out->thresholds.calls_per_s);
    case OPTION_MAX_LINES:
        return read_real("--max-lines", value, &out->thresholds.lines_per_s);
    case OPTION_MAX_LEAK:
        result = read_number("--max-leak", value, 1, UINT32_MAX, &number);
        out->thresholds.leak_least = (uint32_t)number;
        return result;
    case OPTION_HOLD:
        return read_duration("--hold", value, &out->limits.hold_ns);
    case OPTION_GRACE:
        result = read_duration("--grace", value, &out->limits.grace_ns);
        out->thresholds.grace_ms = out->limits.grace_ns / NS_PER_MS;
        return result;
    default:
        return read_duration("--patience", value, &out->limits.patience_ns);
    }
}

static int read_choice(struct reading *reading, int option, const char *value)
{
    struct config *out = reading->out;
    uint64_t number = 0;
    int result;
    switch (option) {
    case OPTION_FAULTS:
        return read_faults(value, &out->faults);
    case OPTION_SITES:
        return read_list("--sites", value, &out->sites);
    case OPTION_MODES:
        return read_modes(value, &out->modes);
    case OPTION_MAX_CASES:
        return read_number("--max-cases", value, 1, UINT32_MAX, &out->max_cases);
    case OPTION_SEED:
        out->seed_given = true;
        return read_number("--seed", value, 0, INT64_MAX, &out->seed);
    case OPTION_SHARD:
        return read_shard(value, out);
    case 'j':
        result = read_number("--jobs", value, 1, JOBS_MAX, &number);
        out->jobs = (unsigned)number;
        return result;
    case OPTION_TIME_LIMIT:
        return read_duration("--time-limit", value, &out->time_limit_ns);
    case OPTION_FAIL_ON:
        return read_fail_on(value, &out->fail_on);
    case OPTION_COLOR:
        return read_color(value, &reading->color);
    default:
        return read_threshold(out, option, value);
    }
}

/* Reads the option at INDEX of explore_options, or a short one.  Returns -1 to go on, else the exit status. */
static int read_option(struct reading *reading, int option, int index, const char *value)
{
    struct config *out = reading->out;
    switch (option) {
    case OPTION_PASSED:
        return pass_option(reading, explore_options[index].name, value);
    case OPTION_LISTEN:
        out->listen = value;
        return -1;
    case OPTION_QUICK:
        out->all = false;
        return -1;
    case OPTION_ALL:
        out->all = true;
        return -1;
    case OPTION_IMPOSSIBLE:
        out->impossible = true;
        return -1;
    case OPTION_LIST:
        out->list = true;
        return -1;
    case OPTION_RESUME:
        out->resume = true;
        return -1;
    case 'o':
        out->out = value;
        return -1;
    case OPTION_BASELINE:
        out->baseline = value;
        return -1;
    case OPTION_WRITE_BASELINE:
        out->write_baseline = value;
        return -1;
    case 'q':
        out->quiet = true;
        return -1;
    case 'v':
        reading->verbose = true;
        return -1;
    default:
        return read_choice(reading, option, value);
    }
}

static int unknown_option(const char *argument, int short_option, int problem)
{
    struct nearest nearest = nearest_to(argument + 2, strlen(argument) > 2 ? strcspn(argument + 2, "=") : 0);
    for (const struct option *option = explore_options; option->name != NULL; option++)
        nearest_offer(&nearest, option->name);
    if (problem == ':')
        say_error("%s needs a value", argument);
    else if (short_option == OPTION_SERVER || strncmp(argument, "--", 2) != 0)
        say_error("unknown option %s; see snag explore --help", argument);
    else if (short_option != 0)
        say_error("%s takes no value", argument);
    else if (nearest.best != NULL)
        say_error("unknown option %s; did you mean --%s?", argument, nearest.best);
    else
        say_error("unknown option %s; see snag explore --help", argument);
    return EXIT_SNAG;
}

static int show(const char *text)
{
    fputs(text, stdout);
    return fflush(stdout) == 0 ? 0 : EXIT_SNAG;
}

static int read_arguments(struct reading *reading, int argc, char **argv)
{
    opterr = 0;
    optind = 0;
    for (;;) {
        int index = -1, at = optind ? optind : 1;
        int option = getopt_long(argc, argv, "+:o:j:qv", explore_options, &index);
        if (option == -1)
            return -1;
        if (option == OPTION_HELP)
            return show(help_text);
        if (option == OPTION_VERSION)
            return show(snag_version);
        if (option == '?' || option == ':' || option == OPTION_SERVER)
            return unknown_option(argv[at], optopt, option);
        int result = read_option(reading, option, index, optarg);
        if (result != -1)
            return result;
    }
}

/* --- ./snag.conf ------------------------------------------------------------------------------------------------- */

static int fail_line(int number, const char *what, const char *word)
{
    say_error(CONF ":%d: %s%s%s", number, what, word != NULL ? " " : "", word != NULL ? word : "");
    return EXIT_SNAG;
}

/* Takes the next word from *TEXT as a shell would, quotes and backslashes; NULL at the end, or if a quote is not closed. */
static char *next_word(const char **text, bool *open)
{
    const char *from = *text + strspn(*text, " \t");
    char quote = '\0', *word = malloc(strlen(from) + 1), *to = word;
    if (word == NULL || *from == '\0') {
        free(word);
        return NULL;
    }
    for (; *from != '\0' && (quote != '\0' || strchr(" \t", *from) == NULL); from++) {
        if (quote == '\0' && (*from == '\'' || *from == '"'))
            quote = *from;
        else if (*from == quote)
            quote = '\0';
        else if (*from == '\\' && quote != '\'' && from[1] != '\0')
            *to++ = *++from;
        else
            *to++ = *from;
    }
    *to = '\0';
    *text = from;
    *open = quote != '\0';
    return word;
}

static int read_server_line(struct reading *reading, int number, const char *value)
{
    bool open = false;
    char *word;
    while ((word = next_word(&value, &open)) != NULL) {
        if (open) {
            free(word);
            return fail_line(number, "a quote is not closed", NULL);
        }
        if (pass(&reading->server, word) != -1)
            return EXIT_SNAG;
    }
    return reading->server.count > 0 ? -1 : fail_line(number, "server= needs a command", NULL);
}

static const struct option *find_option(const char *name, size_t length)
{
    for (const struct option *option = explore_options; option->name != NULL; option++)
        if (strlen(option->name) == length && memcmp(option->name, name, length) == 0)
            return option;
    return NULL;
}

/* LINE without its newline: "http=/", "http /", "--http=/", "all". */
static int read_line(struct reading *reading, int number, char *line, char **keep)
{
    line += strspn(line, " \t");
    line[strcspn(line, "\r\n")] = '\0';
    if (line[0] == '\0' || line[0] == '#')
        return -1;
    if (strncmp(line, "--", 2) == 0)
        line += 2;
    size_t length = strcspn(line, "= \t");
    const struct option *option = find_option(line, length);
    if (option == NULL || option->val == OPTION_HELP || option->val == OPTION_VERSION) {
        line[length] = '\0';
        return fail_line(number, "no long option of snag explore:", line);
    }
    char *value = line + length;
    if (*value != '\0')
        value += 1 + strspn(value + 1, "= \t");
    if (option->has_arg == required_argument && *value == '\0')
        return fail_line(number, "a value is missing:", option->name);
    if (option->has_arg == no_argument && *value != '\0')
        return fail_line(number, "takes no value:", option->name);
    if (option->val == OPTION_SERVER)
        return read_server_line(reading, number, value);
    *keep = strdup(value); /* the options keep pointers to their values, to the end of the program */
    if (*keep == NULL)
        return fail_line(number, strerror(ENOMEM), NULL);
    return read_option(reading, option->val, (int)(option - explore_options), *value != '\0' ? *keep : NULL);
}

static int read_conf(struct reading *reading)
{
    static char *kept[CONF_LINES];
    char line[CONF_LINE];
    int result = -1, number = 0;
    FILE *file = fopen(CONF, "re");
    if (file == NULL) {
        if (errno == ENOENT)
            return -1;
        say_error("can't read " CONF ": %s", strerror(errno));
        return EXIT_SNAG;
    }
    while (result == -1 && fgets(line, sizeof line, file) != NULL) {
        number++;
        if (number > CONF_LINES || (strchr(line, '\n') == NULL && !feof(file)))
            result = fail_line(number, number > CONF_LINES ? "too many lines" : "the line is too long", NULL);
        else
            result = read_line(reading, number, line, &kept[number - 1]);
    }
    fclose(file);
    return result;
}

/* --- All of it --------------------------------------------------------------------------------------------------- */

/* The server's words are those of the command line, else those of the file. */
static int read_server(struct reading *reading, int argc, char **argv)
{
    struct config *out = reading->out;
    static char dashes[] = "--";
    int given = argc - optind, own = given > 0 ? 0 : reading->server.count, index = 0;
    if (given == 0 && own == 0) {
        say_error("no server given; say what to run after --, as in: snag explore -- nginx -g 'daemon off;'");
        return EXIT_SNAG;
    }
    int total = 1 + reading->options.count + 1 + given + own;
    out->arguments = calloc((size_t)total + 1, sizeof *out->arguments);
    if (out->arguments == NULL) {
        say_error("no memory for the options");
        return EXIT_SNAG;
    }
    out->arguments[index++] = argv[0];
    for (int i = 0; i < reading->options.count; i++)
        out->arguments[index++] = reading->options.words[i];
    out->arguments[index++] = dashes;
    for (int i = 0; i < given; i++)
        out->arguments[index++] = argv[optind + i];
    for (int i = 0; i < own; i++)
        out->arguments[index++] = reading->server.words[i];
    return options_parse(&out->run, index, out->arguments);
}

uint32_t config_fail_on(void)
{
    return UINT32_C(1) << VERDICT_CRASHED | UINT32_C(1) << VERDICT_DEAF | UINT32_C(1) << VERDICT_UNSTOPPABLE |
           UINT32_C(1) << VERDICT_EXITED | UINT32_C(1) << VERDICT_LEAKED | UINT32_C(1) << VERDICT_SPUN;
}

void config_defaults(struct config *out)
{
    *out = (struct config){
        .out = "snag-out",
        .jobs = 1,
        .fail_on = config_fail_on(),
        .limits = {.hold_ns = NS_PER_S,
                   .burst_ns = NS_PER_S,
                   .grace_ns = NS_PER_S,
                   .patience_ns = 10 * NS_PER_S,
                   .output_max = 1 << 20,
                   .processes_max = 512},
        .thresholds = thresholds_default,
    };
}

int config_parse(struct config *out, int argc, char **argv)
{
    static struct reading reading; /* what it reads is used to the end of the program */
    reading = (struct reading){.out = out};
    config_defaults(out);
    int result = read_conf(&reading);
    if (result == -1)
        result = read_arguments(&reading, argc, argv);
    if (result == -1)
        result = read_server(&reading, argc, argv);
    say_setup(out->quiet, reading.verbose, reading.color);
    if (result == -1 && out->run.ask == ASK_NOTHING)
        out->run.ask = ASK_CONNECT;
    if (result == -1 && out->run.ask == ASK_CLIENT && out->run.client_timeout_ns == 0)
        out->run.client_timeout_ns = out->limits.patience_ns;
    return result;
}

/* The words that were passed on live as long as the program. */
void config_free(struct config *config)
{
    options_free(&config->run);
    free(config->arguments);
    free(config->faults.text);
    free(config->sites.text);
}
