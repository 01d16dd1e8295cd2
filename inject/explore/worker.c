#include "explore/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "explore/place.h"
#include "plan/names.h"
#include "run/clock.h"
#include "run/run.h"
#include "run/say.h"

enum { DESCRIPTORS = 4096 }; /* that are allowed where one is moved above FD_SETSIZE */

/* In a file, so that the memory is the same one in both processes; the file has no name and goes with them. */
int worker_open(struct worker *worker)
{
    *worker = (struct worker){.words = -1};
    int file = memfd_create("snag-case", MFD_CLOEXEC);
    void *memory = MAP_FAILED;
    if (file < 0)
        return -1;
    if (ftruncate(file, sizeof *worker->measures) == 0)
        memory = mmap(NULL, sizeof *worker->measures, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    int saved = errno;
    close(file);
    errno = saved;
    if (memory == MAP_FAILED)
        return -1;
    worker->measures = memory;
    return 0;
}

static void remove_dir(struct worker *worker)
{
    if (worker->dir[0] != '\0')
        place_remove(worker->dir);
    worker->dir[0] = '\0';
}

void worker_close(struct worker *worker)
{
    if (worker->measures != NULL)
        munmap(worker->measures, sizeof *worker->measures);
    if (worker->words >= 0)
        close(worker->words);
    remove_dir(worker);
    *worker = (struct worker){.words = -1};
}

/* --- In the child ------------------------------------------------------------------------------------------------ */

static void raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= DESCRIPTORS)
        return;
    limit.rlim_cur = limit.rlim_max < DESCRIPTORS ? limit.rlim_max : DESCRIPTORS;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* The server's output goes to a file of the case, and snag's own words to the one who reads them. */
static int redirect(const char *folder, const char *suffix, int words)
{
    char path[4096];
    int length = snprintf(path, sizeof path, "%s/output%s", folder, suffix);
    int output = length > 0 && (size_t)length < sizeof path
                     ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666)
                     : -1;
    int input = open("/dev/null", O_RDONLY | O_CLOEXEC);
    say_to(words);
    say_setup(true, false, SAY_NEVER);
    if (output >= 0 && input >= 0 && dup2(input, STDIN_FILENO) >= 0 && dup2(output, STDOUT_FILENO) >= 0 &&
        dup2(output, STDERR_FILENO) >= 0)
        return 0;
    say_error("can't write %s: %s", path, strerror(errno));
    return -1;
}

/* Fills in the words, and the plan of the case.  Returns 0, or -1, having said why. */
static int prepare(struct options *options, const struct worker_order *order, const char *dir)
{
    size_t count = 0;
    uint16_t port = place_free_port();
    while (order->options->server[count] != NULL)
        count++;
    char **words = calloc(count + 1, sizeof *words);
    for (size_t i = 0; words != NULL && i < count; i++)
        words[i] = place_fill(order->options->server[i], port, dir);
    *options = *order->options;
    options->server = words;
    options->client = options->client != NULL ? place_fill(options->client, port, dir) : NULL;
    if (order->limits->start_ns > 0 && order->limits->start_ns < options->ready_timeout_ns)
        options->ready_timeout_ns = order->limits->start_ns;
    options->plan = plan_new();
    if (words == NULL || options->plan == NULL) {
        say_error("no memory for the case");
        return -1;
    }
    if (order->item->rule[0] == '\0')
        return 0;
    return plan_add(options->plan, order->item->rule, stderr);
}

static _Noreturn void work(struct worker *worker, const struct worker_order *order, pid_t parent)
{
    static struct options options;
    static char trace[4096];
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXIT_SNAG);
    sigprocmask(SIG_SETMASK, order->mask, NULL);
    worker->measures->status = EXIT_SNAG;
    if (redirect(order->folder, order->suffix, worker->words) != 0)
        _exit(EXIT_SNAG);
    if (order->isolated && place_isolate() != 0) {
        say_error("can't get a network namespace: %s", strerror(errno));
        _exit(EXIT_SNAG);
    }
    if (getenv("LISTEN_FDS") == NULL) /* listening sockets that are handed on (sd_listen_fds(3)) are the server's */
        close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
    if (order->raise_limit)
        raise_limit();
    if (prepare(&options, order, worker->dir) != 0)
        _exit(EXIT_SNAG);
    snprintf(trace, sizeof trace, "%s/trace.jsonl%s", order->folder, order->suffix);
    options.trace_path = trace;
    options.sites = order->aim == TRIAL_BASELINE;
    trial_run(&options, order->item, order->limits, order->aim, worker->measures);
    _exit(worker->measures->status);
}

/* --- In the parent ----------------------------------------------------------------------------------------------- */

static bool needs_dir(const struct options *options)
{
    for (char *const *word = options->server; *word != NULL; word++)
        if (strstr(*word, "{dir}") != NULL)
            return true;
    return options->client != NULL && strstr(options->client, "{dir}") != NULL;
}

static int make_dir(struct worker *worker)
{
    snprintf(worker->dir, sizeof worker->dir, "/tmp/snag-case.XXXXXX");
    if (mkdtemp(worker->dir) != NULL)
        return 0;
    worker->dir[0] = '\0';
    return -1;
}

int worker_start(struct worker *worker, const struct worker_order *order)
{
    pid_t parent = getpid();
    if (worker->words >= 0)
        close(worker->words);
    worker->words = memfd_create("snag-words", MFD_CLOEXEC);
    if (worker->words < 0 || (needs_dir(order->options) && make_dir(worker) != 0))
        return -1;
    memset(worker->measures, 0, sizeof *worker->measures);
    worker->began_ns = clock_ns();
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        work(worker, order, parent);
    if (pid < 0)
        return -1;
    worker->pid = pid;
    return 0;
}

/* Takes over what was said, without the prefix of its lines. */
static void read_words(struct worker *worker)
{
    char text[MEASURES_ERROR];
    ssize_t length = pread(worker->words, text, sizeof text - 1, 0);
    char *to = worker->measures->error;
    if (length <= 0)
        return;
    text[length] = '\0';
    for (char *line = text, *end; line != NULL && *line != '\0'; line = end) {
        end = strchr(line, '\n');
        if (end != NULL)
            *end++ = '\0';
        to = stpcpy(to, strncmp(line, "snag: ", 6) == 0 ? line + 6 : line);
        to = stpcpy(to, end != NULL && *end != '\0' ? "\n" : "");
    }
}

void worker_ended(struct worker *worker, int status)
{
    struct measures *out = worker->measures;
    char name[SIGNAL_NAME_MAX];
    worker->pid = 0;
    read_words(worker);
    remove_dir(worker);
    if (out->done)
        return;
    out->status = EXIT_SNAG;
    if (WIFSIGNALED(status) && out->error[0] == '\0')
        snprintf(out->error, sizeof out->error, "the case took too long, or snag failed in it: %s",
                 signal_name(WTERMSIG(status), name));
}
