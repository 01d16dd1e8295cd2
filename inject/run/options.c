#include "run/options.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/found.h"
#include "plan/duration.h"
#include "plan/names.h"
#include "run/clock.h"
#include "run/escape.h"
#include "run/run.h"
#include "run/say.h"
#include "version.h"

static const char help_run[] = "usage: snag run [-e RULE]... [OPTION]... -- SERVER [ARGUMENT]...\n"
                               "Starts SERVER, makes its calls fail as the rules say, and tells what it did.\n"
                               "\n";

static const char help_trace[] =
    "usage: snag trace [-e CALLS|RULE]... [OPTION]... -- SERVER [ARGUMENT]...\n"
    "Starts SERVER, and prints its calls as they happen, as strace would, on stderr.\n"
    "\n"
    "  -e CALLS                these calls alone (all that snag knows), as accept4,bind or trace=%setup;\n"
    "                          a rule, as accept4:error=EMFILE:when=2, is injected as well\n"
    "  -k, --stack-traces      with each call, the stack that led to it: functions, files and lines\n"
    "  -o, --output FILE       write them to FILE as JSON Lines, and print none; snag report FILE sums it up\n"
    "\n"
    "The marks are (INJECTED), (DELAYED), (MISSED): nothing to inject into, (YIELDED): EMFILE gave way to\n"
    "a closed descriptor.  [pid N] is there once a second thread is.  The other options are those of snag run.\n"
    "\n";

static const char help_session[] =
    "usage: snag session start [-e RULE]... [OPTION]...\n"
    "       snag session stop [SESSION]\n"
    "Begins a session without a server: prints the environment that gets a server into it, wherever that is\n"
    "started, and stays until SIGINT, SIGTERM or snag session stop; then it says what attached, and what the\n"
    "rules counted.  snag ctl changes the rules meanwhile.  Faults end with the session, servers do not.\n"
    "Call sites are on: rules may have caller=, stack=, site= and per=site, those of snag ctl too.\n"
    "\n"
    "      --format FORM       env (NAME=VALUE), shell (to eval), systemd (a drop-in), docker, pod (env)\n"
    "      --name NAME         what snag ctl may call it, besides its process number\n"
    "\n"
    "  -e RULE                 a rule, as accept4:error=EMFILE:when=1..50; or inject=RULE, fault=RULE,\n"
    "                          trace=CALLS as in strace; may be repeated\n"
    "      --plan FILE         a file of rules, one a line\n"
    "      --seed N            for prob= (0)\n"
    "      --strace-counts     count for each call and thread, as strace does\n"
    "      --strict            a rule that never matched or never fired gives status 125 at the end\n"
    "  -o, --output FILE       a trace of the calls, JSON Lines\n"
    "      --summary FILE      the summary as JSON\n"
    "  -q, --quiet             errors only            -v, --verbose  each step\n"
    "      --color=WHEN        auto, always, never (auto)\n"
    "      --help, --version\n"
    "\n"
    "Exit status: 0, or 125 if snag failed.  For example:\n"
    "  snag session start --format systemd -e accept4:error=EMFILE:prob=0.1\n";

static const char help_text[] =
    "The plan (snag check says what it does, snag faults what can fail):\n"
    "  -e RULE                 a rule, as accept4:error=EMFILE:when=1..50; or inject=RULE,\n"
    "                          fault=RULE, trace=CALLS as in strace; may be repeated\n"
    "      --plan FILE         a file of rules, one a line\n"
    "      --seed N            for prob= (0)\n"
    "      --strace-counts     count for each call and thread, as strace does\n"
    "      --strict            a rule that never matched or never fired fails the run\n"
    "      --sites             call sites, also without -o, -k or a rule that needs them: snag ctl can add rules\n"
    "                          with caller=, stack=, site= and per=site then\n"
    "\n"
    "The client, started when the server is ready; the run ends with it and gives a verdict:\n"
    "      --client CMD        by sh -c, with SNAG_HOST, SNAG_PORT, SNAG_ADDR, SNAG_PATH set\n"
    "      --http PATH         GET it (--https PATH: over TLS, any certificate)\n"
    "      --send S            send S (escapes \\r \\n \\t \\0 \\xHH \\\\ \\\") ...\n"
    "      --expect S          ... and wait for S in what comes back\n"
    "      --connect           connect, and see the server accept it\n"
    "      --client-timeout T  at most so long, then 124 (none; 10s for the built-in ones)\n"
    "\n"
    "The server:\n"
    "      --ready CMD         ready only once CMD (by sh -c) succeeds as well\n"
    "      --ready-timeout T   an error if it is not ready by then (30s)\n"
    "      --for T             end the run T after it was ready, at the latest\n"
    "      --stop-signal SIG   how it is stopped (SIGTERM)\n"
    "      --stop-timeout T    after that long it is killed (5s)\n"
    "      --backend NAME      preload: by LD_PRELOAD; seccomp: from outside, for static and Go servers too;\n"
    "                          auto: seccomp where nothing can be preloaded (auto)\n"
    "\n"
    "What comes out:\n"
    "  -o, --output FILE       a trace of the calls and their call sites, JSON Lines\n"
    "      --summary FILE      the summary as JSON\n"
    "      --name NAME         what snag ctl, which changes the plan of a running server, may call this run\n"
    "  -q, --quiet             errors only            -v, --verbose  each step\n"
    "      --color=WHEN        auto, always, never (auto)\n"
    "      --help, --version\n"
    "\n"
    "What the server does through io_uring, or by system calls that it makes without libc, no rule acts on and\n"
    "no trace shows; that it does is said.  io_uring_setup:error=ENOSYS refuses io_uring to who asks by syscall(2).\n"
    "\n"
    "With --backend seccomp a call that no rule changes is let through and its result is not known: = ? in a\n"
    "trace, null in JSON; accepts and listens are known.  Call sites need that nothing else traces the server.\n"
    "\n"
    "Times have a unit: 10ms, 1.5s.  Exit status: the server's, or the client's where there is one (and\n"
    "the server did not end first); 128+N if signal N ended it; 124 client timed out; 125 snag failed;\n"
    "126 can't be executed; 127 not found.\n";

enum {
    OPTION_PLAN = 256,
    OPTION_SEED,
    OPTION_STRACE_COUNTS,
    OPTION_STRICT,
    OPTION_SITES,
    OPTION_CLIENT,
    OPTION_CLIENT_TIMEOUT,
    OPTION_HTTP,
    OPTION_HTTPS,
    OPTION_SEND,
    OPTION_EXPECT,
    OPTION_CONNECT,
    OPTION_READY,
    OPTION_READY_TIMEOUT,
    OPTION_FOR,
    OPTION_STOP_SIGNAL,
    OPTION_STOP_TIMEOUT,
    OPTION_BACKEND,
    OPTION_SUMMARY,
    OPTION_NAME,
    OPTION_FORMAT,
    OPTION_COLOR,
    OPTION_HELP,
    OPTION_VERSION,
};

const struct option run_options[] = {
    {"plan", required_argument, NULL, OPTION_PLAN},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"strace-counts", no_argument, NULL, OPTION_STRACE_COUNTS},
    {"strict", no_argument, NULL, OPTION_STRICT},
    {"sites", no_argument, NULL, OPTION_SITES},
    {"client", required_argument, NULL, OPTION_CLIENT},
    {"client-timeout", required_argument, NULL, OPTION_CLIENT_TIMEOUT},
    {"http", required_argument, NULL, OPTION_HTTP},
    {"https", required_argument, NULL, OPTION_HTTPS},
    {"send", required_argument, NULL, OPTION_SEND},
    {"expect", required_argument, NULL, OPTION_EXPECT},
    {"connect", no_argument, NULL, OPTION_CONNECT},
    {"ready", required_argument, NULL, OPTION_READY},
    {"ready-timeout", required_argument, NULL, OPTION_READY_TIMEOUT},
    {"for", required_argument, NULL, OPTION_FOR},
    {"stop-signal", required_argument, NULL, OPTION_STOP_SIGNAL},
    {"stop-timeout", required_argument, NULL, OPTION_STOP_TIMEOUT},
    {"backend", required_argument, NULL, OPTION_BACKEND},
    {"output", required_argument, NULL, 'o'},
    {"stack-traces", no_argument, NULL, 'k'},
    {"summary", required_argument, NULL, OPTION_SUMMARY},
    {"name", required_argument, NULL, OPTION_NAME},
    {"format", required_argument, NULL, OPTION_FORMAT},
    {"quiet", no_argument, NULL, 'q'},
    {"verbose", no_argument, NULL, 'v'},
    {"color", optional_argument, NULL, OPTION_COLOR},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

/* What is read before it can be judged together. */
struct reading {
    struct options *out;
    bool quiet, verbose;
    enum say_when color;
    int asks;         /* kinds of clients that were given */
    const char *name; /* of the subcommand */
    char **argv;
};

static int fail(const char *option, const char *value, const char *why)
{
    say_error("%s %s: %s", option, value, why);
    return EXIT_SNAG;
}

static int read_duration(const char *option, const char *value, uint64_t *out)
{
    struct duration_fault fault;
    if (duration_parse(value, strlen(value), DURATION_BARE_REFUSED, out, &fault) != 0)
        return fail(option, value, fault.message);
    if (*out == 0)
        return fail(option, value, "must be above zero");
    return -1;
}

static int read_seed(const char *value, struct plan *plan)
{
    char *end;
    errno = 0;
    unsigned long long seed = strtoull(value, &end, 0);
    if (errno != 0 || end == value || *end != '\0' || strchr(value, '-') != NULL)
        return fail("--seed", value, "expected a number from 0 to 18446744073709551615");
    plan_set_seed(plan, seed);
    return -1;
}

static int read_signal(const char *value, int *out)
{
    char *end;
    long number = strtol(value, &end, 10);
    *out = *end == '\0' && end != value && number > 0 && number <= SIGNAL_MAX ? (int)number
                                                                              : signal_by_name(value, strlen(value));
    if (*out == 0)
        return fail("--stop-signal", value, "no such signal");
    return -1;
}

static int read_bytes(const char *option, const char *value, struct bytes *out)
{
    free(out->data);
    out->data = strdup(value);
    if (out->data == NULL)
        return fail(option, value, strerror(errno));
    const char *bad = escape_decode(out->data, &out->length);
    if (bad != NULL)
        return fail(option, value, "unknown escape; there are \\r \\n \\t \\0 \\xHH \\\\ \\\"");
    if (out->length == 0)
        return fail(option, "''", "must not be empty");
    return -1;
}

static int read_color(const char *value, enum say_when *out)
{
    static const char *const names[] = {[SAY_AUTO] = "auto", [SAY_ALWAYS] = "always", [SAY_NEVER] = "never"};
    if (value == NULL)
        value = "always";
    for (enum say_when when = SAY_AUTO; when <= SAY_NEVER; when++)
        if (strcmp(value, names[when]) == 0) {
            *out = when;
            return -1;
        }
    return fail("--color", value, "expected auto, always or never");
}

static int read_backend(const char *value, struct options *out)
{
    if (strcmp(value, "preload") != 0 && strcmp(value, "seccomp") != 0 && strcmp(value, "auto") != 0)
        return fail("--backend", value, "expected preload, seccomp or auto");
    out->backend = value;
    return -1;
}

static int read_name(const char *value, struct options *out)
{
    const char *fault = found_name_fault(value);
    if (fault != NULL)
        return fail("--name", value, fault);
    out->name = value;
    return -1;
}

static int read_format(const char *value, struct options *out)
{
    for (enum environment_format format = FORMAT_ENV; format < FORMAT_COUNT; format++)
        if (strcmp(value, environment_name(format)) == 0) {
            out->format = format;
            return -1;
        }
    return fail("--format", value, "expected env, shell, systemd, docker or pod");
}

/* Whether OPTION is about a server that snag starts, or a client of it. */
static bool concerns_server(int option)
{
    return (option >= OPTION_CLIENT && option <= OPTION_BACKEND) || option == 'k';
}

bool run_takes(const char *subcommand, int option)
{
    bool trace = strcmp(subcommand, "trace") == 0,
         standalone = strcmp(subcommand, "session") == 0 || strcmp(subcommand, "start") == 0;
    if (option == OPTION_FORMAT)
        return standalone;
    if (option == OPTION_SITES)
        return !standalone; /* which always has them */
    return option == 'k' ? trace : !(standalone && concerns_server(option));
}

static int set_ask(struct reading *reading, enum ask ask)
{
    struct options *out = reading->out;
    if (out->ask != ask)
        reading->asks++;
    out->ask = ask;
    return -1;
}

/* The path of a request is what goes into its first line: nothing in it may end that line. */
static int set_http(struct reading *reading, enum ask ask, const char *path)
{
    if (path[0] != '/' || strpbrk(path, " \t\r\n") != NULL)
        return fail(ask == ASK_HTTP ? "--http" : "--https", path,
                    "expected a path that starts with / and has no blanks");
    reading->out->http_path = path;
    return set_ask(reading, ask);
}

/* What strace calls -e CALLS is a rule without a part: the calls to show. */
static int read_expression(struct options *out, const char *value)
{
    char *named = NULL;
    if (!out->live || strpbrk(value, ":=") != NULL)
        return plan_add(out->plan, value, stderr) == 0 ? -1 : EXIT_SNAG;
    if (asprintf(&named, "trace=%s", value) < 0)
        return fail("-e", value, strerror(errno));
    int result = plan_add(out->plan, named, stderr) == 0 ? -1 : EXIT_SNAG;
    free(named);
    return result;
}

/* Reads one option.  Returns -1 to go on, else the exit status. */
static int read_option(struct reading *reading, int option, const char *value)
{
    struct options *out = reading->out;
    int result = -1;
    switch (option) {
    case 'e':
        return read_expression(out, value);
    case 'k':
        out->stacks = true;
        return -1;
    case OPTION_PLAN:
        return plan_add_file(out->plan, value, stderr) == 0 ? -1 : EXIT_SNAG;
    case OPTION_SEED:
        return read_seed(value, out->plan);
    case OPTION_STRACE_COUNTS:
        out->strace_counts = true;
        return -1;
    case OPTION_STRICT:
        out->strict = true;
        return -1;
    case OPTION_SITES:
        out->sites = true;
        return -1;
    case OPTION_CLIENT:
        out->client = value;
        return set_ask(reading, ASK_CLIENT);
    case OPTION_CLIENT_TIMEOUT:
        return read_duration("--client-timeout", value, &out->client_timeout_ns);
    case OPTION_HTTP:
        return set_http(reading, ASK_HTTP, value);
    case OPTION_HTTPS:
        return set_http(reading, ASK_HTTPS, value);
    case OPTION_SEND:
        result = read_bytes("--send", value, &out->send);
        return result == -1 ? set_ask(reading, ASK_EXCHANGE) : result;
    case OPTION_EXPECT:
        result = read_bytes("--expect", value, &out->expect);
        return result == -1 ? set_ask(reading, ASK_EXCHANGE) : result;
    case OPTION_CONNECT:
        return set_ask(reading, ASK_CONNECT);
    case OPTION_READY:
        out->ready_command = value;
        return -1;
    case OPTION_READY_TIMEOUT:
        return read_duration("--ready-timeout", value, &out->ready_timeout_ns);
    case OPTION_FOR:
        return read_duration("--for", value, &out->for_ns);
    case OPTION_STOP_SIGNAL:
        return read_signal(value, &out->stop_signal);
    case OPTION_STOP_TIMEOUT:
        return read_duration("--stop-timeout", value, &out->stop_timeout_ns);
    case OPTION_BACKEND:
        return read_backend(value, out);
    case 'o':
        out->trace_path = value;
        return -1;
    case OPTION_SUMMARY:
        out->summary_path = value;
        return -1;
    case OPTION_NAME:
        return read_name(value, out);
    case OPTION_FORMAT:
        return read_format(value, out);
    case 'q':
        reading->quiet = true;
        return -1;
    case 'v':
        reading->verbose = true;
        return -1;
    case OPTION_COLOR:
        return read_color(value, &reading->color);
    default:
        return EXIT_SNAG;
    }
}

/* Says what getopt found wrong with ARGUMENT, in our own words. */
static int unknown_option(const struct reading *reading, const char *argument, int short_option, int problem)
{
    if (problem == ':') {
        say_error("%s needs a value", argument);
        return EXIT_SNAG;
    }
    if (short_option != 0 && short_option < 256 && strncmp(argument, "--", 2) != 0) {
        say_error("unknown option -%c; see snag %s --help", short_option, reading->name);
        return EXIT_SNAG;
    }
    struct nearest nearest = nearest_to(argument + 2, strcspn(argument + 2, "="));
    for (const struct option *option = run_options; option->name != NULL; option++)
        nearest_offer(&nearest, option->name);
    if (short_option != 0)
        say_error("%s takes no value", argument);
    else if (nearest.best != NULL)
        say_error("unknown option %s; did you mean --%s?", argument, nearest.best);
    else
        say_error("unknown option %s; see snag %s --help", argument, reading->name);
    return EXIT_SNAG;
}

static int read_all(struct reading *reading, int argc, char **argv)
{
    int option;
    opterr = 0;
    optind = 0; /* the subcommand's arguments, from their start */
    for (;;) {
        int at = optind ? optind : 1;
        option = getopt_long(argc, argv, reading->out->live ? "+:e:o:qvk" : "+:e:o:qv", run_options, NULL);
        if (option == -1)
            return -1;
        if (option == OPTION_HELP) {
            fputs(reading->out->standalone ? help_session : reading->out->live ? help_trace : help_run, stdout);
            if (!reading->out->standalone)
                fputs(help_text, stdout);
            return fflush(stdout) == 0 ? 0 : EXIT_SNAG;
        }
        if (option == OPTION_VERSION) {
            fputs(snag_version, stdout);
            return fflush(stdout) == 0 ? 0 : EXIT_SNAG;
        }
        /* run's -k is no option either; check_together() says what to do instead. */
        if (!run_takes(argv[0], option) && (option != 'k' || reading->out->standalone)) {
            say_error("%s: not an option of snag %s", argv[at], reading->name);
            return EXIT_SNAG;
        }
        int result = option == '?' || option == ':' ? unknown_option(reading, argv[at], optopt, option)
                                                    : read_option(reading, option, optarg);
        if (result != -1)
            return result;
    }
}

/* What each option alone can't know. */
static int check_together(const struct reading *reading, int argc)
{
    const struct options *out = reading->out;
    if (out->standalone && optind < argc) {
        say_error("%s: snag session start takes no server: start it with what this prints, or use snag run",
                  reading->argv[optind]);
        return EXIT_SNAG;
    }
    if (optind >= argc && !out->standalone) {
        say_error("no server given; say what to run after --, as in: snag %s -e %s -- SERVER", reading->name,
                  out->live ? "accept4" : "RULE");
        return EXIT_SNAG;
    }
    if (reading->asks > 1) {
        say_error("one client alone: --client, --http, --https, --send with --expect, or --connect");
        return EXIT_SNAG;
    }
    if (out->send.data != NULL && out->expect.data == NULL) {
        say_error("--send needs --expect: what shows that the server answered");
        return EXIT_SNAG;
    }
    if (out->client_timeout_ns != 0 && out->ask == ASK_NOTHING) {
        say_error("--client-timeout needs a client or a probe");
        return EXIT_SNAG;
    }
    if (out->stacks && !out->live) {
        say_error("--stack-traces is for snag trace; in snag run, -o FILE writes the call sites");
        return EXIT_SNAG;
    }
    if (plan_board_rules(out->plan, out->strace_counts) > RULE_MAX) {
        say_error("too many rules for one board: --strace-counts makes %zu of them, at most %d fit",
                  plan_board_rules(out->plan, out->strace_counts), RULE_MAX);
        return EXIT_SNAG;
    }
    return -1;
}

int options_parse(struct options *out, int argc, char **argv)
{
    bool standalone = strcmp(argv[0], "start") == 0;
    struct reading reading = {.out = out, .name = standalone ? "session start" : argv[0], .argv = argv};
    *out = (struct options){
        .ready_timeout_ns = 30 * NS_PER_S,
        .stop_timeout_ns = 5 * NS_PER_S,
        .stop_signal = SIGTERM,
        .backend = "auto",
        .live = strcmp(argv[0], "trace") == 0,
        .standalone = standalone,
        .plan = plan_new(),
    };
    if (out->plan == NULL) {
        say_error("no memory for the plan");
        return EXIT_SNAG;
    }
    int result = read_all(&reading, argc, argv);
    say_setup(reading.quiet, reading.verbose, reading.color);
    if (result == -1)
        result = check_together(&reading, argc);
    if (result != -1)
        return result;
    out->server = standalone ? NULL : argv + optind;
    out->sites = out->sites || out->stacks || out->trace_path != NULL || standalone;
    if (ask_is_probe(out->ask) && out->client_timeout_ns == 0)
        out->client_timeout_ns = 10 * NS_PER_S;
    return -1;
}

void options_free(struct options *options)
{
    plan_free(options->plan);
    free(options->send.data);
    free(options->expect.data);
}

bool options_wait(const struct options *options)
{
    return options->ask != ASK_NOTHING || options->for_ns != 0 || options->ready_command != NULL;
}

bool ask_is_probe(enum ask ask)
{
    return ask >= ASK_CONNECT;
}
