#include "run/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run/keeper.h"
#include "run/warden.h"

static sigset_t first_mask;
static struct sigaction first_actions[NSIG];

void spawn_remember_signals(void)
{
    sigprocmask(SIG_SETMASK, NULL, &first_mask);
    for (int signal = 1; signal < NSIG; signal++)
        if (sigaction(signal, NULL, &first_actions[signal]) != 0)
            first_actions[signal].sa_handler = SIG_DFL;
}

int spawn_was_ignored(int signal)
{
    return first_actions[signal].sa_handler == SIG_IGN;
}

/* Signals that we catch go back to default by exec; those that we ignore would stay ignored. */
static void restore_signals(void)
{
    for (int signal = 1; signal < NSIG; signal++)
        if (signal != SIGKILL && signal != SIGSTOP)
            sigaction(signal, &first_actions[signal], NULL);
    sigprocmask(SIG_SETMASK, &first_mask, NULL);
}

static void die_with(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127); /* it died before the line above could see it */
}

static _Noreturn void give_up(int error, int report)
{
    while (write(report, &error, sizeof error) < 0 && errno == EINTR) {
    }
    _exit(127);
}

static bool take_over(int fd, int target)
{
    return fd < 0 || dup2(fd, target) >= 0;
}

/* In the child: hands the gate's descriptor over, and waits until it is taken. */
static int pass_gate(const struct spawn *spawn, int parent)
{
    char byte;
    ssize_t length;
    int fd = spawn->gate->enter(spawn->gate->context);
    if (fd < 0)
        return -1;
    if (pass_fd(parent, fd) != 0)
        return -1;
    close(fd);
    do
        length = read(parent, &byte, 1);
    while (length < 0 && errno == EINTR);
    close(parent);
    return length == 1 ? 0 : -1;
}

/* In the child.  An error of the gate is reported as a negative number. */
static _Noreturn void become(const struct spawn *spawn, pid_t parent, int report, int gate)
{
    die_with(parent);
    restore_signals();
    if (take_over(spawn->in, STDIN_FILENO) && take_over(spawn->out, STDOUT_FILENO) &&
        take_over(spawn->err, STDERR_FILENO)) {
        if (spawn->born != NULL)
            spawn->born(spawn->context);
        if (spawn->gate != NULL && pass_gate(spawn, gate) != 0)
            give_up(-errno, report);
        execvpe(spawn->argv[0], spawn->argv, spawn->env);
    }
    give_up(errno, report);
}

/*
 * In the child as well.  The keeper's pid is the command's group, so that its number is not given to another while the
 * keeper lives; the keeper itself goes back to snag's group, for a SIGKILL to the command's must not take it along.
 */
static _Noreturn void become_keeper(const struct spawn *spawn, pid_t parent, int report)
{
    pid_t keeper = getpid(), command = -1;
    die_with(parent);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) == 0)
        command = fork();
    if (command == 0)
        become(spawn, keeper, report, -1);
    if (command < 0 || setpgid(0, getpgid(parent)) != 0)
        give_up(errno, report);
    close_range(STDERR_FILENO + 1, ~0U, 0); /* what is the server's must not stay open with us */
    keeper_run(command);
}

/* Waits until the child has become the program; returns the errno that kept it from that, 0 if nothing did. */
static int wait_for_exec(int report)
{
    int error = 0;
    ssize_t length;
    do
        length = read(report, &error, sizeof error);
    while (length < 0 && errno == EINTR);
    return length == (ssize_t)sizeof error ? error : 0;
}

/* Takes what the child gives, and lets it go on.  What goes wrong in the child it reports itself. */
static int open_gate(const struct spawn *spawn, int child)
{
    char byte = 0;
    int fd = take_fd(child);
    if (fd < 0)
        return 0;
    if (spawn->gate->admit(spawn->gate->context, fd) != 0)
        return errno;
    return write(child, &byte, 1) == 1 ? 0 : errno;
}

static void close_pair(const int pair[2])
{
    for (size_t i = 0; i < 2; i++)
        if (pair[i] >= 0)
            close(pair[i]);
}

pid_t spawn_start(const struct spawn *spawn)
{
    int report[2], gate[2] = {-1, -1};
    pid_t parent = getpid();
    if (pipe2(report, O_CLOEXEC) != 0)
        return -1;
    if (spawn->gate != NULL && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, gate) != 0) {
        close_pair(report);
        return -1;
    }
    /* Until the child has its own dispositions, a signal to it would run our handlers, which write to our pipes. */
    sigset_t all, now;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &now);
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        spawn->kept ? become_keeper(spawn, parent, report[1]) : become(spawn, parent, report[1], gate[1]);
    }
    int error = pid < 0 ? errno : 0;
    sigprocmask(SIG_SETMASK, &now, NULL);
    close(report[1]);
    if (gate[1] >= 0)
        close(gate[1]);
    gate[1] = -1;
    if (pid > 0 && gate[0] >= 0)
        error = open_gate(spawn, gate[0]);
    close_pair(gate); /* a child that was not let go on sees the end of it */
    int exec_error = pid > 0 ? wait_for_exec(report[0]) : 0;
    close(report[0]);
    if (error == 0 && exec_error < 0 && spawn->gate != NULL)
        spawn->gate->error = -exec_error;
    if (error == 0)
        error = abs(exec_error);
    if (error == 0)
        return pid;
    if (pid > 0)
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        }
    errno = error;
    return -1;
}

static int same_name(const char *a, const char *b)
{
    size_t length = strcspn(a, "=");
    return length == strcspn(b, "=") && strncmp(a, b, length) == 0;
}

static int is_replaced(const char *variable, char *const *sets, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (sets[i] != NULL && same_name(variable, sets[i]))
            return 1;
    return 0;
}

char **spawn_environment(char *const *base, char *const *sets, size_t count)
{
    size_t length = 0, used = 0;
    while (base[length] != NULL)
        length++;
    char **result = calloc(length + count + 1, sizeof *result);
    if (result == NULL)
        return NULL;
    for (size_t i = 0; i < length; i++)
        if (!is_replaced(base[i], sets, count))
            result[used++] = base[i];
    for (size_t i = 0; i < count; i++)
        if (sets[i] != NULL)
            result[used++] = sets[i];
    return result;
}

char *spawn_variable(const char *name, const char *value)
{
    char *variable;
    return asprintf(&variable, "%s=%s", name, value) >= 0 ? variable : NULL;
}
