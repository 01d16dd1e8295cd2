#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "fds.h"
#include "loader.h"
#include "raw.h"
#include "real.h"
#include "record.h"
#include "site.h"

struct board *snag_board;

static const unsigned char nothing_wanted[256];
const volatile unsigned char *snag_wanted = nothing_wanted;

__attribute__((visibility("hidden"))) unsigned char snag_syscalls[512];

/* What these point to never moves once it is there, and is emptied in a forked child. */
struct process *snag_process;
static _Atomic(_Atomic uint64_t *)
    fd_ordinals[RULE_MAX];        /* by slot: FD_MAX of them, once a rule there counts by descriptor */
static _Atomic uint32_t fd_slots; /* slots that may have some */

__thread struct thread snag_thread;

/*
 * libc's own clock_gettime, and not that of a library that stands before it and bends time (libfaketime): windows and
 * delays are the kernel's.
 */
static int (*real_clock)(clockid_t, struct timespec *) = clock_gettime;

static void find_real_clock(void)
{
    void *libc = loader_open("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    if (!libc)
        return;
    void *function = loader_find(libc, "clock_gettime");
    if (function)
        memcpy(&real_clock, &function, sizeof function);
    dlclose(libc); /* it stays, being what everything else needs too */
}

uint64_t session_now(void)
{
    struct timespec now;
    real_clock(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

void *session_map(size_t size)
{
    long at =
        snag_raw(SYS_mmap, 0, (long)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at < 0 && at > -4096 ? NULL : (void *)(intptr_t)at;
}

/* Memory as session_map()'s, that a forked child finds zeroed again; NULL if there is none. */
static void *map_wiped(size_t size)
{
    void *memory = session_map(size);
    if (!memory || raw3(SYS_madvise, raw_pointer(memory), (long)size, MADV_WIPEONFORK) == 0)
        return memory;
    raw2(SYS_munmap, raw_pointer(memory), (long)size);
    return NULL;
}

/* Tells snag of this process: its name and what it runs. */
static void report_process(bool forked)
{
    struct event_process payload = {.forked = forked};
    uint64_t position;
    payload.ppid = (int32_t)raw2(SYS_getppid, 0, 0);
    raw2(SYS_prctl, PR_GET_NAME, raw_pointer(payload.comm));
    long length = snag_raw(SYS_readlinkat, AT_FDCWD, raw_pointer("/proc/self/exe"), raw_pointer(payload.exe),
                           sizeof payload.exe - 1, 0, 0);
    payload.exe[length > 0 ? length : 0] = 0;
    struct event *event = record_begin(EVENT_PROCESS, &payload, sizeof payload, &position);
    if (!event)
        return;
    event->t_ns = session_stamp();
    record_end(event, position);
}

bool snag_sees_pids;

/* Where /proc can't be read (chroot), it is as in the process that this one was forked from. */
static void look_at_namespace(void)
{
    char name[BOARD_NAMESPACE_MAX] = "";
    if (snag_raw(SYS_readlinkat, AT_FDCWD, raw_pointer("/proc/self/ns/pid"), raw_pointer(name), sizeof name - 1, 0, 0) >
        0)
        snag_sees_pids = memcmp(name, snag_board->pid_namespace, sizeof name) == 0;
}

/* Several threads of a new child may come here at once: all store the same pid, and one of them gives the epoch. */
void session_begin_process(void)
{
    struct process *process = snag_process;
    look_at_namespace();
    uint32_t none = 0, epoch = atomic_fetch_add(&snag_board->epochs, 1) + 1;
    bool mine = atomic_compare_exchange_strong(&process->epoch, &none, epoch);
    atomic_store(&process->pid, (int32_t)raw2(SYS_getpid, 0, 0));
    if (mine)
        report_process(true);
}

void session_begin_thread(void)
{
    memset(&snag_thread, 0, sizeof snag_thread);
    snag_thread.tid = (int32_t)raw2(SYS_gettid, 0, 0);
    snag_thread.epoch = atomic_load_explicit(&snag_process->epoch, memory_order_relaxed);
}

/* Two threads may come here at once: the memory of the one that is late goes back. */
static _Atomic uint64_t *map_fd_ordinals(uint32_t slot)
{
    size_t size = FD_MAX * sizeof(uint64_t);
    _Atomic uint64_t *mine = map_wiped(size), *none = NULL;
    if (!mine)
        return NULL;
    uint32_t slots = atomic_load(&fd_slots);
    while (slots <= slot && !atomic_compare_exchange_weak(&fd_slots, &slots, slot + 1))
        ;
    if (atomic_compare_exchange_strong(&fd_ordinals[slot], &none, mine))
        return mine;
    raw2(SYS_munmap, raw_pointer(mine), (long)size);
    return none;
}

_Atomic uint64_t *session_fd_ordinal(uint32_t slot, int fd)
{
    if (fd < 0 || fd >= FD_MAX)
        return NULL;
    _Atomic uint64_t *ordinals = atomic_load(&fd_ordinals[slot]);
    if (!ordinals)
        ordinals = map_fd_ordinals(slot);
    return ordinals ? &ordinals[fd] : NULL;
}

bool session_in_vfork_child(void)
{
    int32_t pid = atomic_load_explicit(&snag_process->pid, memory_order_relaxed);
    return pid != 0 && pid != (int32_t)raw2(SYS_getpid, 0, 0);
}

void session_forget_fds(unsigned first, unsigned last)
{
    uint32_t slots = atomic_load(&fd_slots);
    if (slots == 0 || first >= FD_MAX)
        return;
    if (last >= FD_MAX)
        last = FD_MAX - 1;
    for (uint32_t i = 0; i < slots; i++) {
        _Atomic uint64_t *ordinals = atomic_load(&fd_ordinals[i]);
        for (unsigned fd = first; ordinals && fd <= last; fd++) {
            /* Looked at before it is written: pages that were never counted on stay without memory. */
            _Atomic uint64_t *ordinal = &ordinals[fd];
            if (atomic_load_explicit(ordinal, memory_order_relaxed) == 0)
                continue;
            if (session_in_vfork_child()) /* it closes descriptors of its own */
                return;
            atomic_store_explicit(ordinal, 0, memory_order_relaxed);
        }
    }
}

/* Memory for per=fd, for the rules that count so: before the process gets into a sandbox.  A plan that changes is no harm. */
static bool prepare_fd_ordinals(struct board *board)
{
    uint32_t stamp = atomic_load(&board->plan_stamp);
    const struct rule *rules = board_rules(board, stamp);
    for (uint32_t i = 0; i < board->rule_counts[stamp % PLANS]; i++)
        if (rules[i].scope == PER_FD && !session_fd_ordinal(rules[i].slot, 0))
            return false;
    return true;
}

/* The one thing the shim ever says: it could not do what the environment asks for, so there are no faults here. */
static void complain(const char *path, const char *why)
{
    char line[512];
    size_t length = 0;
    const char *parts[] = {"libsnag: no faults in this process: board ", path, ": ", why, "\n"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        for (const char *p = parts[i]; *p && length < sizeof line; p++)
            line[length++] = *p;
    raw3(SYS_write, STDERR_FILENO, raw_pointer(line), (long)length);
}

static const char *open_fault(long error)
{
    switch (-error) {
    case EACCES:
    case EPERM:
        return "no permission to open it";
    case EMFILE:
    case ENFILE:
        return "no descriptor to open it with";
    default:
        return "can't be opened";
    }
}

/* Maps the board at PATH; returns NULL, after a word on stderr unless the session is simply over. */
static struct board *map_board(const char *path)
{
    long fd = snag_raw(SYS_openat, AT_FDCWD, raw_pointer(path), O_RDWR | O_CLOEXEC, 0, 0, 0);
    if (fd < 0) {
        if (fd != -ENOENT)
            complain(path, open_fault(fd));
        return NULL;
    }
    long size = raw3(SYS_lseek, fd, 0, SEEK_END);
    long at = -1;
    if (size > 0)
        at = snag_raw(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    raw2(SYS_close, fd, 0);
    if (size <= 0 || (at < 0 && at > -4096)) {
        complain(path, size == 0 ? "truncated" : "can't be mapped");
        return NULL;
    }
    const char *fault = board_fault((void *)(intptr_t)at, (size_t)size);
    if (!fault)
        return (struct board *)(intptr_t)at;
    complain(path, fault);
    raw2(SYS_munmap, at, size);
    return NULL;
}

static void hook_syscalls(void)
{
    for (enum call call = 0; call < CALL_COUNT; call++) {
        long number = call_info(call)->number;
        if (number >= 0 && number < (long)sizeof snag_syscalls)
            snag_syscalls[number] = (unsigned char)(call + 1);
    }
    snag_syscalls[SYS_close_range] = OTHER_CLOSE_RANGE;
#ifdef SYS_eventfd
    snag_syscalls[SYS_eventfd] = OTHER_EVENTFD;
#endif
    snag_syscalls[SYS_execve] = OTHER_EXECVE;
    snag_syscalls[SYS_execveat] = OTHER_EXECVEAT;
    snag_syscalls[SYS_seccomp] = OTHER_SECCOMP;
}

/*
 * Joins the session that SNAG_BOARD names.  First of all constructors where the loader allows it; a call that comes
 * before (from another library's constructor) simply finds no session.
 */
__attribute__((constructor(101))) static void attach(void)
{
    real_resolve();
    const char *path = getenv("SNAG_BOARD");
    if (!path || !*path)
        return;
    find_real_clock();
    struct board *board = map_board(path);
    if (!board)
        return;
    snag_process = map_wiped(sizeof *snag_process);
    if (!snag_process || !prepare_fd_ordinals(board)) {
        complain(path, "no memory for its counters (MADV_WIPEONFORK needs Linux 4.14)");
        return;
    }
    snag_board = board;
    look_at_namespace();
    atomic_store(&snag_process->epoch, atomic_fetch_add(&board->epochs, 1) + 1);
    atomic_store(&snag_process->pid, (int32_t)raw2(SYS_getpid, 0, 0));
    atomic_fetch_add(&board->attached, 1);
    report_process(false);
    if (atomic_load(&board->ready_ns) == 0)
        fds_inherit();
    hook_syscalls();
    site_begin();
    atomic_thread_fence(memory_order_release);
    snag_wanted = board->wanted;
}
