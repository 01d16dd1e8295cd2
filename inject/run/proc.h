/*
 * proc.h - what /proc says about a process.
 *
 * A process may end between two looks, so every function can fail with ESRCH or ENOENT, and a pid alone names nobody: (pid,
 * start) does.  Nothing here changes a process but proc_signal().
 */
#ifndef SNAG_PROC_H
#define SNAG_PROC_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct proc {
    pid_t pid, ppid, pgid;
    char state;     /* 'Z': it has ended and waits to be reaped */
    uint64_t start; /* clock ticks since boot: with the pid, it names a process for good */
    char comm[64];
};

/* Reads PID's line into OUT.  Returns -1 with errno if it is gone. */
int proc_read(pid_t pid, struct proc *out);

/*
 * Whoever lives now is not listed any more: to be called before the first process is started that is to be listed.  That
 * saves most of the work on a machine that does something else as well.  A number that is used again while this process
 * lives stays unlisted.
 */
void proc_leave_out(void);

/* Lists every process into *OUT, to be freed.  Returns how many, or -1 with errno. */
ssize_t proc_list(struct proc **out);

/* The same, with those that proc_leave_out() found. */
ssize_t proc_list_all(struct proc **out);

/* Copies the path of PID's program into OUT, terminated; "?" if it can't be known. */
void proc_exe(pid_t pid, char out[PATH_MAX]);

/* Copies PID's working folder into OUT, terminated.  Returns -1 with errno. */
int proc_cwd(pid_t pid, char out[PATH_MAX]);

/* Whether PID has PATH (or a name that starts with it) mapped: 1, 0, or -1 with errno if it can't be known. */
int proc_maps(pid_t pid, const char *path);

/* Whether PID was started with an environment in which a variable begins with TEXT ("NAME=value"). */
bool proc_has_variable(pid_t pid, const char *text);

/* Whether thread TID of process PID lives. */
bool proc_thread_lives(pid_t pid, pid_t tid);

/* Sends SIGNAL to the process of WHO, and to no other that got its number since.  Returns -1 with errno. */
int proc_signal(const struct proc *who, int signal);

/*
 * Looks for a socket of PID that listens, and writes its address ("127.0.0.1:80", "[::1]:80", "/path", "@name") to OUT.
 * Returns whether there is one.
 */
bool proc_listens(pid_t pid, char *out, size_t size);

/*
 * Looks for a connection of the COUNT processes at LIST on a TCP port, or at a unix path, where one of them listens: one that
 * they have accepted.  Writes its local address to OUT, as above, and returns whose it is; 0: there is none.  They are taken
 * to be in one network namespace.  Slow where there are many sockets: the kernel writes a line for each of the system's.
 */
pid_t proc_accepted(const struct proc *list, size_t count, char *out, size_t size);

/*
 * Whether a process has accepted the TCP connection that comes from port OWN of this machine to port SERVER: the kernel's
 * table says so, whatever a backend has seen.
 */
bool proc_has_accepted(uint16_t server, uint16_t own);

/* Whether an io_uring is among the lowest thousand descriptors of PID. */
bool proc_has_ring(pid_t pid);

#endif
