#include "run/registers.h"

#include <elf.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "run/clock.h"
#include "run/proc.h"

enum {
    YIELDS = 100,     /* looks for the stop, before we sleep between two of them */
    PAUSE_NS = 50000, /* then */
};

/*
 * One that was killed in our hands.  Who started it is told of its end only when we have been: snag's own children are
 * collected in another place.
 */
static bool has_ended(pid_t tid)
{
    struct proc proc;
    siginfo_t end = {.si_pid = 0};
    if (waitid(P_PID, (id_t)tid, &end, WEXITED | WNOHANG | WNOWAIT | __WALL) != 0)
        return errno == ECHILD;
    if (end.si_pid == 0 || (end.si_code != CLD_EXITED && end.si_code != CLD_KILLED && end.si_code != CLD_DUMPED))
        return false;
    if (proc_read(tid, &proc) != 0 || proc.ppid != getpid())
        waitid(P_PID, (id_t)tid, &end, WEXITED | WNOHANG | __WALL);
    return true;
}

static int read_when_stopped(pid_t tid, struct user_regs_struct *out)
{
    struct timespec moment = {.tv_nsec = PAUSE_NS};
    struct iovec place = {out, sizeof *out};
    for (unsigned i = 0;; i++) {
        if (ptrace(PTRACE_GETREGSET, tid, (void *)NT_PRSTATUS, &place) == 0)
            return 0;
        if (has_ended(tid)) {
            errno = ESRCH;
            return -1;
        }
        if (i < YIELDS)
            sched_yield();
        else
            nanosleep(&moment, NULL);
    }
}

int registers_hold(pid_t tid, struct user_regs_struct *out)
{
    if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) != 0)
        return -1;
    if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) != 0 && errno != EIO)
        return -1;
    return read_when_stopped(tid, out);
}

/* What stopped it may be a signal that came at the same moment: it gets that when it goes on, else it would be lost. */
void registers_release(pid_t tid)
{
    siginfo_t stop;
    long signal = 0;
    if (ptrace(PTRACE_GETSIGINFO, tid, NULL, &stop) == 0 &&
        !(stop.si_code > 0 && stop.si_code >> 8 == PTRACE_EVENT_STOP))
        signal = stop.si_signo;
    if (ptrace(PTRACE_DETACH, tid, NULL, signal) != 0)
        has_ended(tid);
}

/* The number behind NAME in /proc/TID/status; -1: there is none. */
static long read_status(pid_t tid, const char *name)
{
    char path[64], line[128];
    long value = -1;
    snprintf(path, sizeof path, "/proc/%d/status", (int)tid);
    FILE *file = fopen(path, "re");
    while (file != NULL && value < 0 && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            value = atol(line + strlen(name));
    if (file != NULL)
        fclose(file);
    return value;
}

static long read_yama(void)
{
    char line[16] = "";
    FILE *file = fopen("/proc/sys/kernel/yama/ptrace_scope", "re");
    if (file == NULL)
        return 0;
    if (fgets(line, sizeof line, file) == NULL)
        line[0] = '\0';
    fclose(file);
    return atol(line);
}

void registers_fault(pid_t tid, char *out, size_t size)
{
    struct proc tracer;
    long number = read_status(tid, "TracerPid:");
    if (number > 0)
        snprintf(out, size, "%s (%ld) traces it, and it can have one tracer",
                 proc_read((pid_t)number, &tracer) == 0 ? tracer.comm : "a program", number);
    else if (read_yama() >= 2)
        snprintf(out, size, "/proc/sys/kernel/yama/ptrace_scope lets nobody trace it");
    else
        snprintf(out, size, "it may not be traced: it runs as another user, or has made itself undumpable");
}
