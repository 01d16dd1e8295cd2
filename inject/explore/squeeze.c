/*
 * squeeze.c - `snag squeeze PID`: a running server runs out of descriptors, in earnest, and gets them back.
 *
 * Nothing is put into it: its soft limit is pulled down to what it uses (prlimit(2)), clients fill what is left, and
 * another one waits.  That it was accepted the kernel's tables say, since nobody sees the calls.
 */
#include "explore/squeeze.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/util.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "explore/explore.h"
#include "explore/measure.h"
#include "explore/measures.h"
#include "explore/visitor.h"
#include "explore/watchdog.h"
#include "run/clock.h"
#include "run/run.h"
#include "run/say.h"
#include "version.h"

static const char help_text[] =
    "usage: snag squeeze [OPTION]... PID\n"
    "Takes the free descriptors of a running server away for a while, lets a client wait, and says what the server\n"
    "did.  It changes the soft limit of open files of PID and of its children, which it gives back, also if snag is\n"
    "killed; that needs the server's user, or CAP_SYS_RESOURCE.\n"
    "\n"
    "      --for T             how long (1s)\n"
    "      --listen ADDR       where clients go (the address that it listens on)\n"
    "      --http PATH         what they ask for, instead of being accepted alone;  --send S --expect S  likewise\n"
    "      --grace T           a server that serves again later than this is slow (1s)\n"
    "      --patience T        one that does not by then is deaf (10s)\n"
    "      --help, --version\n"
    "\n"
    "The last line is the verdict.  Exit status: 0; 1 for a verdict that fails in snag explore; 125 if nothing could "
    "be\n"
    "judged.\n";

#define STEP_NS (2 * NS_PER_MS)
#define STILL_NS (50 * NS_PER_MS) /* that a client must wait to be called one that waits */

enum { FILLERS_MAX = 4096 };

struct squeeze {
    struct config config;
    pid_t pid;
    uint64_t for_ns;
    const char *listen;
    struct event_base *base;
    struct visitors *visitors;
    struct endpoint endpoint;
    struct crowd crowd;
    struct logs logs;
    struct limited limited[CROWD_MAX];
    size_t limited_count;
    int watchdog;    /* -1: none */
    size_t too_many; /* so many clients at once are more than it serves with descriptors enough; 0: not so */
    struct measures m, control;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int signal)
{
    (void)signal;
    interrupted = 1;
}

/* Begins a group of clients; the one before ends. */
static bool new_clients(struct squeeze *squeeze)
{
    visitors_free(squeeze->visitors);
    squeeze->visitors =
        squeeze->base != NULL ? visitors_new(squeeze->base, &squeeze->config.run, &squeeze->endpoint) : NULL;
    if (squeeze->visitors == NULL)
        say_error("no memory for the clients");
    return squeeze->visitors != NULL;
}

/* --- Time passes ------------------------------------------------------------------------------------------------- */

static void stop_loop(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    event_base_loopbreak(context);
}

/* Lets the clients act for NS, and asks the kernel who was accepted. */
static void pass(struct squeeze *squeeze, uint64_t ns)
{
    struct timeval time = clock_timeval(ns);
    event_base_once(squeeze->base, -1, EV_TIMEOUT, stop_loop, squeeze->base, &time);
    event_base_dispatch(squeeze->base);
    visitors_recheck(squeeze->visitors);
}

/* Waits until client NUMBER has a fate, at most for NS.  Returns the fate. */
static enum fate wait_for(struct squeeze *squeeze, int number, uint64_t ns)
{
    uint64_t end_ns = clock_ns() + ns;
    while (number >= 0 && visitors_get(squeeze->visitors, (size_t)number)->fate == FATE_WAITING &&
           clock_ns() < end_ns && !interrupted)
        pass(squeeze, STEP_NS);
    return number >= 0 ? visitors_get(squeeze->visitors, (size_t)number)->fate : FATE_REFUSED;
}

static void hold(struct squeeze *squeeze, uint64_t ns)
{
    uint64_t end_ns = clock_ns() + ns;
    while (clock_ns() < end_ns && !interrupted)
        pass(squeeze, STEP_NS);
}

/* --- Where it listens -------------------------------------------------------------------------------------------- */

static bool set_address(struct squeeze *squeeze, const char *text)
{
    struct sockaddr_storage address = {.ss_family = AF_UNIX};
    int length = (int)sizeof address;
    struct sockaddr_un *name = (struct sockaddr_un *)(void *)&address;
    if (text[0] == '/' && strlen(text) < sizeof name->sun_path) {
        strcpy(name->sun_path, text);
        length = (int)sizeof *name;
    } else if (evutil_parse_sockaddr_port(text, (struct sockaddr *)&address, &length) != 0) {
        return false;
    }
    if (!endpoint_set(&squeeze->endpoint, &address, (size_t)length))
        return false;
    endpoint_aim(&squeeze->endpoint, squeeze->pid);
    return true;
}

static int find_address(struct squeeze *squeeze)
{
    char text[PATH_MAX];
    bool found = squeeze->listen != NULL;
    if (found)
        snprintf(text, sizeof text, "%s", squeeze->listen);
    for (size_t i = 0; i < squeeze->crowd.count && !found; i++)
        found = proc_listens(squeeze->crowd.list[i].pid, text, sizeof text);
    if (!found) {
        say_error("process %d listens nowhere, as far as can be seen; say where with --listen", (int)squeeze->pid);
        return -1;
    }
    if (set_address(squeeze, text))
        return 0;
    say_error("%s: no address that a client could connect to", text);
    return -1;
}

/* --- The limit --------------------------------------------------------------------------------------------------- */

static int look_at_limits(struct squeeze *squeeze)
{
    for (size_t i = 0; i < squeeze->crowd.count; i++) {
        struct limited *one = &squeeze->limited[squeeze->limited_count];
        one->who = squeeze->crowd.list[i];
        if (limit_change(one->who.pid, NULL, &one->old) == 0) {
            squeeze->limited_count++;
        } else if (errno != ESRCH) {
            say_error("process %d: %s: to change its limit takes its user, or the capability CAP_SYS_RESOURCE",
                      (int)one->who.pid, strerror(errno));
            return -1;
        }
    }
    return squeeze->limited_count > 0 ? 0 : -1;
}

/* poll(2) fails with EINVAL below the highest descriptor, so that is the least. */
static void choose_limits(struct squeeze *squeeze)
{
    for (size_t i = 0; i < squeeze->limited_count; i++) {
        unsigned count;
        squeeze->limited[i].low = (rlim_t)process_descriptors(squeeze->limited[i].who.pid, &count) + 1;
    }
}

static int pull_down(struct squeeze *squeeze)
{
    for (size_t i = 0; i < squeeze->limited_count; i++) {
        const struct limited *one = &squeeze->limited[i];
        struct rlimit low = {.rlim_cur = one->low, .rlim_max = one->old.rlim_max};
        if (one->low == 0 || limit_change(one->who.pid, &low, NULL) != 0) {
            say_error("can't pull down the limit of process %d: %s", (int)one->who.pid, strerror(errno));
            return -1;
        }
    }
    return 0;
}

static void give_back(struct squeeze *squeeze)
{
    size_t failed = limits_give_back(squeeze->limited, squeeze->limited_count);
    if (failed > 0)
        say_error("the limit of %zu processes could not be given back: %s", failed, strerror(errno));
    if (squeeze->watchdog >= 0)
        close(squeeze->watchdog);
    squeeze->watchdog = -1;
}

/* --- What it does ------------------------------------------------------------------------------------------------ */

static void begin_window(struct squeeze *squeeze)
{
    crowd_close(&squeeze->crowd);
    crowd_look_at(&squeeze->crowd, squeeze->pid);
    logs_look(&squeeze->logs, &squeeze->crowd);
    squeeze->m.window_ns = clock_ns();
}

static void end_window(struct squeeze *squeeze)
{
    struct crowd now;
    struct measures *m = &squeeze->m;
    m->window_ns = clock_ns() - m->window_ns;
    crowd_look_at(&now, squeeze->pid);
    m->cpu_ns = crowd_cpu(&squeeze->crowd, &now, m->window_ns);
    if (now.total > now.count)
        snprintf(m->note, sizeof m->note, "of %zu processes %zu were looked at", now.total, now.count);
    m->log_lines = logs_lines(&squeeze->logs, crowd_written(&squeeze->crowd, &now), &m->log_bytes, m->log_last,
                              sizeof m->log_last);
    crowd_close(&now);
}

/* Without a fault: is there anything to judge? */
static int control(struct squeeze *squeeze)
{
    enum fate fate = wait_for(squeeze, visitors_start(squeeze->visitors, false), squeeze->config.limits.patience_ns);
    const struct visit *visit = visitors_get(squeeze->visitors, 0);
    if (fate == FATE_CLOSED && visit->accepted) {
        visitors_short(squeeze->visitors);
        fate = FATE_SERVED;
    }
    if (fate != FATE_SERVED) {
        char text[ADDRESS_TEXT_MAX];
        if (!interrupted)
            say_error("control failed, so nothing can be judged: a client of %s is not served",
                      endpoint_text(&squeeze->endpoint, text));
        return -1;
    }
    begin_window(squeeze);
    hold(squeeze, squeeze->for_ns / 2);
    end_window(squeeze);
    squeeze->control = squeeze->m;
    squeeze->control.worker_status = -1;
    return interrupted ? -1 : 0;
}

/* Whether a process has as many descriptors as its limit lets it. */
static bool has_run_out(const struct squeeze *squeeze)
{
    for (size_t i = 0; i < squeeze->limited_count; i++) {
        unsigned count;
        int highest = process_descriptors(squeeze->limited[i].who.pid, &count);
        if (highest >= 0 && count >= squeeze->limited[i].low)
            return true;
    }
    return false;
}

/* Whether client NUMBER gets in.  One that waits may only wait for a busy machine, as long as there are descriptors. */
static bool gets_in(struct squeeze *squeeze, int number)
{
    uint64_t end_ns = clock_ns() + squeeze->config.limits.patience_ns;
    enum fate fate = wait_for(squeeze, number, STILL_NS);
    while (fate == FATE_WAITING && !has_run_out(squeeze) && clock_ns() < end_ns && !interrupted)
        fate = wait_for(squeeze, number, STILL_NS);
    return fate == FATE_SERVED;
}

/* Clients come and stay until one of them is left waiting.  Returns whether that is for want of descriptors. */
static bool fill_up(struct squeeze *squeeze)
{
    for (int i = 0; i < FILLERS_MAX && !interrupted; i++) {
        int number = visitors_start(squeeze->visitors, true);
        if (number < 0 || !gets_in(squeeze, number))
            return number >= 0 && has_run_out(squeeze);
    }
    return false;
}

static void recover(struct squeeze *squeeze, size_t since)
{
    struct measures *m = &squeeze->m;
    uint64_t released_ns = clock_ns(), grace_ns = squeeze->config.limits.grace_ns;
    size_t after = visitors_count(squeeze->visitors);
    m->waited = visitors_with(squeeze->visitors, since, FATE_WAITING) > 0;
    visitors_release(squeeze->visitors);
    while (visitors_with(squeeze->visitors, since, FATE_WAITING) > 0 && clock_ns() < released_ns + grace_ns &&
           !interrupted)
        pass(squeeze, STEP_NS);
    enum fate fate = FATE_WAITING;
    while (fate != FATE_SERVED && clock_ns() < released_ns + squeeze->config.limits.patience_ns && !interrupted) {
        fate = wait_for(squeeze, visitors_start(squeeze->visitors, false), squeeze->config.limits.patience_ns);
        pass(squeeze, STEP_NS);
    }
    m->newcomer_served = fate == FATE_SERVED;
    m->patience_ms = (clock_ns() - released_ns) / NS_PER_MS;
    for (size_t i = since; i < visitors_count(squeeze->visitors); i++) {
        const struct visit *visit = visitors_get(squeeze->visitors, i);
        if (visit->fate == FATE_SERVED && visit->ended_ns >= released_ns && !m->recovered) {
            m->recovered = true;
            m->recovered_ms = (visit->ended_ns - released_ns) / NS_PER_MS;
        }
        m->clients++;
        m->closed_under_pressure += visit->fate == FATE_CLOSED && i < after;
        m->closed_without += visit->fate == FATE_CLOSED && i >= after;
    }
    m->left_waiting = (uint32_t)visitors_with(squeeze->visitors, since, FATE_WAITING);
}

/*
 * Whether COUNT clients at once are served, now that there are descriptors for all of them.  A server that serves one after
 * the other lets the others wait whatever its limit, and its table may be full by the way.
 */
static bool serves_at_once(struct squeeze *squeeze, size_t count)
{
    size_t served = 0;
    while (served < count && wait_for(squeeze, visitors_start(squeeze->visitors, true),
                                      squeeze->config.limits.patience_ns) == FATE_SERVED)
        served++;
    return served == count;
}

/* From the moment that the limit is changed, the watchdog is there. */
static int take_and_give(struct squeeze *squeeze)
{
    size_t clients = 0, since = visitors_count(squeeze->visitors);
    uint64_t most_ns = squeeze->for_ns + FILLERS_MAX * STILL_NS + squeeze->config.limits.patience_ns;
    squeeze->m = (struct measures){.ready = true, .armed = true, .worker_status = -1};
    choose_limits(squeeze);
    squeeze->watchdog = watchdog_start(squeeze->limited, squeeze->limited_count, most_ns);
    if (squeeze->watchdog < 0) {
        say_error("can't start the process that gives the limit back: %s", strerror(errno));
        return -1;
    }
    int result = pull_down(squeeze);
    if (result == 0 && fill_up(squeeze)) {
        squeeze->m.real = 1;
        clients = visitors_count(squeeze->visitors) - since;
        begin_window(squeeze);
        hold(squeeze, squeeze->for_ns);
        end_window(squeeze);
    }
    give_back(squeeze);
    if (result == 0)
        recover(squeeze, since);
    struct proc now;
    squeeze->m.ended = proc_read(squeeze->pid, &now) != 0 || now.state == 'Z';
    if (!squeeze->m.recovered || squeeze->m.ended)
        return result;
    if (!new_clients(squeeze))
        return -1;
    if (!serves_at_once(squeeze, clients)) {
        squeeze->m.real = 0;
        squeeze->too_many = clients;
    }
    return result;
}

static int conclude(struct squeeze *squeeze)
{
    static const struct fault_case item = {
        .call = CALL_accept4, .fault = "EMFILE", .error = EMFILE, .mode = MODE_EXHAUST};
    struct ruling ruling;
    if (interrupted) {
        say_error("interrupted; the limit is what it was");
        return EXIT_SNAG;
    }
    oracle_judge(&item, &squeeze->m, &squeeze->control, &squeeze->config.thresholds, &ruling);
    if (squeeze->m.ended)
        puts("the server has ended");
    else if (squeeze->m.real > 0)
        printf("%u clients, the last of them without a descriptor for %" PRIu64
               " ms; %.0f%% of a core, %.0f log lines a second; ",
               squeeze->m.clients, squeeze->m.window_ns / NS_PER_MS, 100 * oracle_rates(&squeeze->m).cpu,
               oracle_rates(&squeeze->m).lines_per_s);
    if (squeeze->too_many > 0)
        printf("of %zu clients at once one waits with descriptors enough, too\n", squeeze->too_many);
    else if (squeeze->m.real > 0 && squeeze->m.recovered)
        printf("served again %" PRIu64 " ms after\n", squeeze->m.recovered_ms);
    else
        puts(squeeze->m.real > 0 ? "not served again" : "it never ran out of descriptors");
    printf("verdict: %s\n", squeeze->m.ended ? "exited" : verdict_word(ruling.headline));
    if (fflush(stdout) != 0 || ruling.headline == VERDICT_UNTESTED)
        return EXIT_SNAG;
    return squeeze->m.ended || (ruling.set & config_fail_on()) != 0;
}

static void say_what(const struct squeeze *squeeze)
{
    unsigned count;
    int highest = process_descriptors(squeeze->pid, &count);
    say_note(
        "process %d (%s)%s: its soft limit of open files goes from %ju to %d for about %ju ms, and back; clients come",
        (int)squeeze->pid, squeeze->crowd.list[0].comm, squeeze->crowd.count > 1 ? " and its children" : "",
        (uintmax_t)squeeze->limited[0].old.rlim_cur, highest + 1, (uintmax_t)(squeeze->for_ns / NS_PER_MS));
}

static int squeeze_it(struct squeeze *squeeze)
{
    struct sigaction action = {.sa_handler = on_signal};
    crowd_look_at(&squeeze->crowd, squeeze->pid);
    if (squeeze->crowd.count == 0) {
        say_error("there is no process %d", (int)squeeze->pid);
        return EXIT_SNAG;
    }
    if (look_at_limits(squeeze) != 0 || find_address(squeeze) != 0)
        return EXIT_SNAG;
    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    squeeze->base = event_base_new();
    if (!new_clients(squeeze))
        return EXIT_SNAG;
    say_what(squeeze);
    if (control(squeeze) != 0 || take_and_give(squeeze) != 0)
        return EXIT_SNAG;
    return conclude(squeeze);
}

/* --- Its command line -------------------------------------------------------------------------------------------- */

const struct option squeeze_options[] = {
    {"for", required_argument, NULL, 0},      {"http", required_argument, NULL, 0},
    {"send", required_argument, NULL, 0},     {"expect", required_argument, NULL, 0},
    {"listen", required_argument, NULL, 0},   {"grace", required_argument, NULL, 0},
    {"patience", required_argument, NULL, 0}, {"help", no_argument, NULL, 0},
    {"version", no_argument, NULL, 0},        {NULL, 0, NULL, 0},
};

/* Whether WORD is an option of this subcommand.  OWN_VALUE: its value is in the same word (--for=2s). */
static bool is_passed(const char *word, bool *own_value)
{
    size_t length = strcspn(word, "=");
    *own_value = word[length] == '=';
    for (const struct option *option = squeeze_options; option->name != NULL && strncmp(word, "--", 2) == 0; option++)
        if (option->has_arg && strlen(option->name) == length - 2 && strncmp(word + 2, option->name, length - 2) == 0)
            return true;
    return false;
}

static int read_pid(struct squeeze *squeeze, const char *text)
{
    char *end;
    long pid = strtol(text, &end, 10);
    if (*end != '\0' || pid <= 0 || pid > INT32_MAX) {
        say_error("%s: expected the number of a process", text);
        return -1;
    }
    if (squeeze->pid != 0) {
        say_error("%s: one process at a time", text);
        return -1;
    }
    squeeze->pid = (pid_t)pid;
    return 0;
}

/* Takes the PID out of ARGV, and has WORDS be a command line of snag explore.  Returns their number, or -1, having said why. */
static int translate(struct squeeze *squeeze, int argc, char **argv, char **words)
{
    static char name[] = "explore", hold[] = "--hold", dashes[] = "--", none[] = "-";
    bool own_value;
    int count = 0;
    words[count++] = name;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-') {
            if (read_pid(squeeze, argv[i]) != 0)
                return -1;
            continue;
        }
        if (!is_passed(argv[i], &own_value)) {
            say_error("unknown option %s; see snag squeeze --help", argv[i]);
            return -1;
        }
        bool is_for = strncmp(argv[i], "--for", 5) == 0;
        if (is_for)
            words[count++] = hold;
        if (!is_for || own_value)
            words[count++] = is_for ? argv[i] + sizeof "--for=" - 1 : argv[i];
        if (!own_value && i + 1 < argc)
            words[count++] = argv[++i];
    }
    words[count++] = dashes;
    words[count++] = none;
    if (squeeze->pid != 0)
        return count;
    say_error("no process given: snag squeeze PID");
    return -1;
}

/* The options are those of snag explore, but for --for, which is its --hold. */
static int read_arguments(struct squeeze *squeeze, int argc, char **argv)
{
    char **words = calloc(2 * (size_t)argc + 4, sizeof(void *));
    int result = EXIT_SNAG;
    if (words == NULL) {
        say_error("no memory");
        return EXIT_SNAG;
    }
    int count = translate(squeeze, argc, argv, words);
    if (count > 0)
        result = config_parse(&squeeze->config, count, words);
    free(words);
    squeeze->for_ns = squeeze->config.limits.hold_ns;
    squeeze->listen = squeeze->config.listen;
    return result;
}

static int show(const char *text)
{
    fputs(text, stdout);
    return fflush(stdout) == 0 ? 0 : EXIT_SNAG;
}

int cmd_squeeze(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--help") == 0)
        return show(help_text);
    if (argc > 1 && strcmp(argv[1], "--version") == 0)
        return show(snag_version);
    struct squeeze *squeeze = calloc(1, sizeof *squeeze);
    if (squeeze == NULL) {
        say_error("no memory");
        return EXIT_SNAG;
    }
    squeeze->watchdog = -1;
    int status = read_arguments(squeeze, argc, argv);
    if (status == -1)
        status = squeeze_it(squeeze);
    visitors_free(squeeze->visitors);
    if (squeeze->base != NULL)
        event_base_free(squeeze->base);
    crowd_close(&squeeze->crowd);
    config_free(&squeeze->config);
    free(squeeze);
    return status;
}
