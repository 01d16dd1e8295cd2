#include "lesson/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lesson/check.h"
#include "run/backend.h"
#include "run/clock.h"
#include "run/installed.h"
#include "run/run.h"
#include "run/say.h"
#include "run/spawn.h"
#include "run/tree.h"

enum { WAIT_MS = 3000, READY_MS = 10000, STOP_MS = 2000, RINGS = 8, VARIABLES = BACKEND_VARIABLES + 1 };

/* A signal that is to end snag; what was started is taken down first. */
static volatile sig_atomic_t interrupted;

static void on_signal(int signal)
{
    interrupted = signal;
}

static void catch_signals(void)
{
    static bool caught;
    struct sigaction action = {.sa_handler = on_signal};
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    if (caught)
        return;
    caught = true;
    spawn_remember_signals();
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        if (!spawn_was_ignored(signals[i]))
            sigaction(signals[i], &action, NULL);
}

/* --- While it runs ----------------------------------------------------------------------------------------------------- */

/* Takes in what the server tells, or passes on what it writes to stderr; false at the end of it. */
static bool take_output(struct stage *stage, int fd, bool told)
{
    char bytes[4096];
    ssize_t n = read(fd, bytes, sizeof bytes);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0)
        return false;
    if (told)
        steps_told(&stage->steps, bytes, (size_t)n);
    else
        for (ssize_t done = 0, wrote; done < n; done += wrote)
            if ((wrote = write(STDERR_FILENO, bytes + done, (size_t)(n - done))) <= 0)
                break;
    return true;
}

static void look_for_end(struct stage *stage)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == stage->pid) {
            stage->ended = true;
            stage->status = status;
        }
}

bool stage_pump(struct stage *stage, int ms)
{
    uint64_t until = clock_ns() + (uint64_t)ms * NS_PER_MS;
    do {
        struct pollfd fds[] = {{.fd = stage->told, .events = POLLIN}, {.fd = stage->errors, .events = POLLIN}};
        poll(fds, 2, ms > 0 ? 1 : 0);
        for (size_t i = 0; i < 2; i++)
            if (fds[i].revents && !take_output(stage, fds[i].fd, i == 0)) {
                close(fds[i].fd);
                *(i == 0 ? &stage->told : &stage->errors) = -1;
            }
        drain_read(stage->drain, clock_ns());
        look_for_end(stage);
    } while (clock_ns() < until && !interrupted);
    return !interrupted;
}

static bool wait_ms(struct stage *stage, bool (*what)(struct stage *, void *), void *arg, int ms)
{
    uint64_t until = clock_ns() + (uint64_t)ms * NS_PER_MS;
    while (!what(stage, arg))
        if (!stage_pump(stage, 1) || clock_ns() > until)
            return what(stage, arg);
    return true;
}

bool stage_wait(struct stage *stage, bool (*what)(struct stage *, void *), void *arg)
{
    return wait_ms(stage, what, arg, WAIT_MS);
}

/* --- The server -------------------------------------------------------------------------------------------------------- */

/* A port that nobody has right now. */
static unsigned free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool bound = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
                 getsockname(fd, (struct sockaddr *)&address, &size) == 0;
    if (fd >= 0)
        close(fd);
    return bound ? ntohs(address.sin_port) : 0;
}

/* Whether the shim gets into COMMAND; if not, that has been said.  REACH is filled. */
static bool can_reach(const char *command, struct reach *reach)
{
    backend_preload.reach(command, reach);
    if (reach->status != 0)
        say_error("%s", reach->why);
    return reach->status == 0;
}

static pid_t spawn_with(struct stage *stage, char *const *argv, const char *port, const int fds[3])
{
    char *sets[VARIABLES] = {NULL}, **env = NULL;
    struct reach reach;
    pid_t pid = -1;
    if (!can_reach(argv[0], &reach))
        return -1;
    if (backend_preload.variables(reach.program, stage->board->shim_path, boardfile_path(stage->file), sets) == 0 &&
        (sets[BACKEND_VARIABLES] = spawn_variable("SNAG_PORT", port)) != NULL)
        env = spawn_environment(environ, sets, VARIABLES);
    struct spawn spawn = {.argv = argv, .env = env, .in = fds[0], .out = fds[1], .err = fds[2]};
    if (env == NULL || (pid = spawn_start(&spawn)) < 0)
        say_error("can't start %s: %s", argv[0], strerror(errno));
    free(env);
    for (size_t i = 0; i < VARIABLES; i++)
        free(sets[i]);
    return pid;
}

/* Of a line for the shell, its first word: where that is plain it is what the shell will run. */
static bool can_reach_line(const char *line)
{
    struct reach reach;
    char *word = strndup(line, strcspn(line, " \t"));
    bool plain = word && *word && strpbrk(word, ";&|<>$\"'`\\()~=*?[") == NULL;
    bool reached = !plain || can_reach(word, &reach);
    free(word);
    return reached;
}

/* A student's server gets the port that it is to listen on as its argument and in SNAG_PORT; its words go to stderr. */
static pid_t spawn_student(struct stage *stage)
{
    char port[16], *line = NULL;
    const int fds[3] = {-1, STDERR_FILENO, -1};
    pid_t pid = -1;
    snprintf(port, sizeof port, "%u", free_port());
    if (strpbrk(stage->command, " \t;&|<>$\"'") == NULL) {
        char *argv[] = {(char *)(uintptr_t)stage->command, port, NULL};
        return spawn_with(stage, argv, port, fds);
    }
    if (!can_reach_line(stage->command) || asprintf(&line, "exec %s \"$SNAG_PORT\"", stage->command) < 0)
        return -1;
    char *argv[] = {"/bin/sh", "-c", line, NULL};
    pid = spawn_with(stage, argv, port, fds);
    free(line);
    return pid;
}

static pid_t spawn_own(struct stage *stage)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1}, err[2] = {-1, -1};
    char path[PATH_MAX];
    const char *name = json_string_value(json_object_get(stage->lesson, "name"));
    if (installed_find(stage->kind == STAGE_OURS ? "lesson-server" : "lesson-server-libevent", path) != 0)
        return -1;
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0)
        say_error("can't make pipes for the server: %s", strerror(errno));
    stage->words = in[1];
    stage->told = out[0];
    stage->errors = err[0];
    char *argv[] = {path, (char *)(uintptr_t)name, NULL};
    pid_t pid = err[0] < 0 ? -1 : spawn_with(stage, argv, "0", (const int[3]){in[0], out[1], err[1]});
    const int theirs[] = {in[0], out[1], err[1]};
    for (size_t i = 0; i < 3; i++)
        if (theirs[i] >= 0)
            close(theirs[i]);
    return pid;
}

static bool is_ready(struct stage *stage, void *arg)
{
    char why[80];
    (void)arg;
    if (stage->ended)
        return true;
    return stage->kind == STAGE_STUDENT ? atomic_load(&stage->board->ready_ns) != 0 && stage->steps.endpoint.length > 0
                                        : check_count("dispatch", stage->steps.list, why, sizeof why) > 0;
}

static bool is_gone(struct stage *stage, void *arg)
{
    (void)arg;
    return stage->ended;
}

/* Asks the server to end, and makes it. */
static void stop_server(struct stage *stage)
{
    struct tree tree = {.first = stage->pid};
    look_for_end(stage);
    if (!stage->ended) {
        kill(stage->pid, SIGCONT);
        tree_stop(&tree, SIGTERM);
        wait_ms(stage, is_gone, NULL, STOP_MS);
    }
    for (int i = 0; i < 50 && tree_kill(&tree) > 0; i++)
        usleep(10000);
    look_for_end(stage);
}

/* --- The whole --------------------------------------------------------------------------------------------------------- */

static const enum call shown[] = {CALL_socket, CALL_setsockopt, CALL_bind,  CALL_listen,
                                  CALL_accept, CALL_accept4,    CALL_fcntl, CALL_close};

static int make_plan(struct stage *stage)
{
    size_t i;
    json_t *rule;
    stage->plan = plan_new();
    if (stage->plan == NULL)
        return -1;
    json_array_foreach(json_object_get(stage->lesson, "rule"), i, rule)
    {
        if (plan_add(stage->plan, json_string_value(rule), stderr) != 0)
            return -1;
    }
    return 0;
}

static int make_board(struct stage *stage)
{
    char shim[BOARD_PATH_MAX];
    struct rule_set *set = malloc(sizeof *set);
    if (set == NULL || plan_compile(stage->plan, false, set) != 0 || backend_preload.prepare(shim) != 0) {
        free(set);
        return -1;
    }
    boardfile_clean();
    stage->file = boardfile_new(set, stage->steps.start_ns, shim, true);
    free(set);
    if (stage->file == NULL)
        return -1;
    stage->board = boardfile_board(stage->file);
    board_watch_ready(stage->board, true);
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
        stage->board->wanted[shown[i]] |= WANT_RECORD | WANT_ARGUMENTS;
    boardfile_grow(stage->file, RINGS);
    return 0;
}

static int open_stage(struct stage *stage)
{
    struct drain_ops ops = {.seen = steps_event, .context = &stage->steps};
    stage->steps.start_ns = clock_ns();
    stage->steps.list = json_array();
    if (make_plan(stage) != 0 || make_board(stage) != 0)
        return -1;
    stage->steps.plan = stage->plan;
    stage->drain = drain_new(stage->board, &ops);
    return stage->drain != NULL && tree_adopt() == 0 ? 0 : -1;
}

static void close_stage(struct stage *stage)
{
    const int fds[] = {stage->words, stage->told, stage->errors};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    for (size_t i = 0; i < STAGE_CLIENTS; i++)
        if (stage->clients[i] >= 0)
            close(stage->clients[i]);
    drain_free(stage->drain);
    boardfile_free(stage->file);
    plan_free(stage->plan);
    json_decref(stage->steps.list);
}

static void tell_exit(struct stage *stage)
{
    char text[64];
    if (WIFSIGNALED(stage->status))
        snprintf(text, sizeof text, "signal %d", WTERMSIG(stage->status));
    else
        snprintf(text, sizeof text, "%d", WEXITSTATUS(stage->status));
    steps_client(&stage->steps, 0, WIFSIGNALED(stage->status) ? "killed" : "exit", 0, text, false);
}

/* The shell, or the program loader, has said why. */
static bool could_not_run(const struct stage *stage)
{
    int code = stage->ended && WIFEXITED(stage->status) ? WEXITSTATUS(stage->status) : 0;
    if (stage->kind != STAGE_STUDENT || (code != EXIT_CANT_EXECUTE && code != EXIT_NOT_FOUND))
        return false;
    say_error("%s can't be run", stage->command);
    return true;
}

/* Returns 0, or the exit status. */
static int perform(struct stage *stage)
{
    stage->pid = stage->kind == STAGE_STUDENT ? spawn_student(stage) : spawn_own(stage);
    if (stage->pid < 0)
        return EXIT_SNAG;
    wait_ms(stage, is_ready, NULL, READY_MS);
    bool ready = stage->steps.endpoint.length > 0 || (stage->kind != STAGE_STUDENT && stage->ended);
    int result = 0;
    if (ready)
        result = script_play(stage);
    else if (could_not_run(stage))
        return EXIT_SNAG;
    else
        steps_client(&stage->steps, 0, "never_ready", 0, NULL, false);
    bool by_itself = stage->ended;
    if (by_itself)
        tell_exit(stage);
    else
        steps_client(&stage->steps, 0, "terminate", 0, NULL, true);
    stop_server(stage);
    stage_pump(stage, 0);
    while (stage->told >= 0 && take_output(stage, stage->told, true)) {
    }
    drain_finish(stage->drain);
    if (!by_itself)
        tell_exit(stage);
    if (interrupted)
        return EXIT_SIGNAL + interrupted;
    if (drain_lost(stage->drain) > 0 || stage->steps.lost) {
        say_error("records were lost: the run can't be shown");
        return EXIT_SNAG;
    }
    return result == 0 ? 0 : EXIT_SNAG;
}

json_t *stage_run(const json_t *lesson, enum stage_server kind, const char *command, int *status)
{
    struct stage stage = {.kind = kind, .lesson = lesson, .command = command, .words = -1, .told = -1, .errors = -1};
    json_t *steps = NULL;
    for (size_t i = 0; i < STAGE_CLIENTS; i++)
        stage.clients[i] = -1;
    catch_signals();
    *status = EXIT_SNAG;
    if (open_stage(&stage) != 0)
        say_error("can't set up the lesson: %s", strerror(errno));
    else if ((*status = perform(&stage)) == 0)
        steps = steps_finish(&stage.steps);
    close_stage(&stage);
    return steps;
}
