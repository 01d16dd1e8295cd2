#include "run/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* In the child, which must not return. */
static void become(const struct spawn *spawn, pid_t parent, int report)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127); /* snag died before the line above could see it */
    restore_signals();
    if ((spawn->out < 0 || dup2(spawn->out, STDOUT_FILENO) >= 0) &&
        (spawn->err < 0 || dup2(spawn->err, STDERR_FILENO) >= 0))
        execvpe(spawn->argv[0], spawn->argv, spawn->env);
    int error = errno;
    while (write(report, &error, sizeof error) < 0 && errno == EINTR) {
    }
    _exit(127);
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

pid_t spawn_start(const struct spawn *spawn)
{
    int report[2];
    pid_t parent = getpid();
    if (pipe2(report, O_CLOEXEC) != 0)
        return -1;
    /* Until the child has its own dispositions, a signal to it would run our handlers, which write to our pipes. */
    sigset_t all, now;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &now);
    pid_t pid = fork();
    if (pid == 0)
        become(spawn, parent, report[1]);
    int error = pid < 0 ? errno : 0;
    sigprocmask(SIG_SETMASK, &now, NULL);
    close(report[1]);
    if (pid > 0) {
        setpgid(pid, pid); /* as the child does: whoever is first */
        error = wait_for_exec(report[0]);
    }
    close(report[0]);
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
