#include "explore/watchdog.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

size_t limits_give_back(const struct limited *list, size_t count)
{
    size_t failed = 0;
    struct proc now;
    for (size_t i = 0; i < count; i++) {
        bool lives = proc_read(list[i].who.pid, &now) == 0 && now.start == list[i].who.start;
        if (lives && prlimit(list[i].who.pid, RLIMIT_NOFILE, &list[i].old, NULL) != 0 && errno != ESRCH)
            failed++;
    }
    return failed;
}

/* Ctrl-C at a terminal goes to the whole group: this one leaves it, and lets no signal but SIGKILL end it. */
static _Noreturn void watch(int end, const struct limited *list, size_t count, uint64_t ns)
{
    struct pollfd closed = {.fd = end, .events = POLLIN};
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    setsid();
    poll(&closed, 1, (int)(ns / 1000000));
    limits_give_back(list, count);
    _exit(0);
}

/* Forks twice: nobody waits for the one that watches, and it is no child of snag's that could be killed with the others. */
int watchdog_start(const struct limited *list, size_t count, uint64_t ns)
{
    int ends[2], status;
    if (pipe(ends) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[1]);
        pid_t second = fork();
        if (second == 0)
            watch(ends[0], list, count, ns);
        _exit(second < 0 ? 1 : 0);
    }
    int saved = errno;
    close(ends[0]);
    if (pid > 0)
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        }
    if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return ends[1];
    close(ends[1]);
    errno = pid < 0 ? saved : EAGAIN;
    return -1;
}
