#include "run/keeper.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "run/tree.h"

enum { KILLS_MAX = 500 }; /* 10 ms apart */

/* Returns the status of COMMAND, as of waitpid(2). */
static int wait_for(pid_t command)
{
    int status = 0;
    pid_t pid;
    do
        pid = waitpid(-1, &status, 0);
    while (pid != command && (pid > 0 || errno == EINTR));
    return status;
}

/* For a subreaper, to have no children is to have no descendants. */
static bool is_alone(void)
{
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
    }
    return pid < 0 && errno == ECHILD;
}

/* None may be left when we end, not even a zombie: it would be handed to snag, as one of the server's. */
static void kill_rest(void)
{
    struct tree none = {.first = 0};
    struct timespec moment = {.tv_nsec = 10 * 1000 * 1000};
    for (int i = 0; i < KILLS_MAX && !is_alone(); i++) {
        tree_kill(&none);
        nanosleep(&moment, NULL);
    }
}

static _Noreturn void end_as(int status)
{
    sigset_t set;
    if (!WIFSIGNALED(status))
        _exit(WEXITSTATUS(status));
    prctl(PR_SET_DUMPABLE, 0); /* the core is the command's to leave */
    signal(WTERMSIG(status), SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, WTERMSIG(status));
    kill(getpid(), WTERMSIG(status));
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    _exit(128 + WTERMSIG(status));
}

_Noreturn void keeper_run(pid_t command)
{
    int status = wait_for(command);
    kill_rest();
    end_as(status);
}
