/*
 * measure.h - what a server does, seen from outside: processor time, descriptors, log lines, who lives.
 *
 * All from /proc.  What can't be read counts as nothing, for a process may end between two looks.
 */
#ifndef SNAG_MEASURE_H
#define SNAG_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "run/proc.h"

enum {
    CROWD_MAX = 512,          /* processes that are looked at; a server with more is measured by its first ones */
    CROWD_THREADS_MAX = 4096, /* threads; likewise */
    LOGS_MAX = 256,           /* files that are written to; likewise */
};

/* Times of a thread so far. */
struct thread_times {
    pid_t tid;
    uint64_t ran_ns, waited_ns; /* on a processor; for one */
};

/* The processes of a server at one moment. */
struct crowd {
    size_t count, total; /* remembered, and that there were */
    size_t thread_count, thread_total;
    struct proc list[CROWD_MAX];
    struct thread_times threads[CROWD_THREADS_MAX];
    uint64_t written[CROWD_MAX]; /* bytes, so far; UINT64_MAX: not known */
    int handles[CROWD_MAX];      /* pidfds; -1: none */
};

/* Takes note of who lives below this process (tree.h), and holds on to each. */
void crowd_look(struct crowd *crowd);

/* The same, of process ROOT, which need not be below this one, and of all that are below it. */
void crowd_look_at(struct crowd *crowd, pid_t root);

/* Gives up the hold. */
void crowd_close(struct crowd *crowd);

/*
 * Returns the processor time, ns, that those of NOW would have used in the WINDOW_NS since EARLIER, had they had the machine
 * for themselves: of the time that a thread did not wait for a processor, it used the same share.
 */
uint64_t crowd_cpu(const struct crowd *earlier, const struct crowd *now, uint64_t window_ns);

/* Returns how many bytes were written since EARLIER, to files and to others; UINT64_MAX if that is not known of all. */
uint64_t crowd_written(const struct crowd *earlier, const struct crowd *now);

/* Returns how many descriptors those of EARLIER that still live have open now. */
unsigned crowd_descriptors(const struct crowd *earlier);

/* Returns how many descriptors the process of CROWD that can get fewest can still get; 0 if that is not known. */
uint64_t crowd_room(const struct crowd *crowd);

/* Whether PID was there and lives. */
bool crowd_has(const struct crowd *crowd, pid_t pid);

/*
 * How process PID of CROWD ended: true, and STATUS as of waitpid(2), or -1 if the kernel does not tell (before Linux
 * 6.15).  False if it lives, or was not there.
 */
bool crowd_ended(const struct crowd *crowd, pid_t pid, int *status);

/* The regular files that a server has open for writing, and how long each is. */
struct logs {
    size_t count, total; /* remembered, and that there were */
    struct {
        uint64_t device, inode;
        int64_t size;
        pid_t pid;
        int fd;
    } files[LOGS_MAX];
};

/* Takes note of the files of CROWD. */
void logs_look(struct logs *logs, const struct crowd *crowd);

/*
 * Returns how many lines were added since LOGS; adds the bytes to *BYTES, and copies the last whole line to LAST.  Others may
 * write to the same files: the lines are a server's own at most as far as the bytes that it has WRITTEN go.
 */
uint64_t logs_lines(const struct logs *logs, uint64_t written, uint64_t *bytes, char *last, size_t size);

/* Returns the highest descriptor of PID, -1 with errno if it can't be known (ENOENT: it has none, or is gone); how many are open goes to *COUNT. */
int process_descriptors(pid_t pid, unsigned *count);

/* Returns how long PID has run on a processor, ns. */
uint64_t process_cpu(pid_t pid);

/* Whether descriptor FD of PID does not block. */
bool process_nonblocking(pid_t pid, int fd);

#endif
