#include "run/supervisor.h"

#include <errno.h>
#include <linux/audit.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "run/callsite.h"
#include "run/clock.h"
#include "run/reach.h"
#include "run/readiness.h"
#include "run/say.h"
#include "run/warden.h"

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS /* Linux 6.6 */
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

#if defined(__x86_64__)
#define OWN_ARCH AUDIT_ARCH_X86_64
#define FOREIGN_BIT 0x40000000 /* x32 */
#elif defined(__aarch64__)
#define OWN_ARCH AUDIT_ARCH_AARCH64
#define FOREIGN_BIT 0
#else
#define OWN_ARCH 0
#define FOREIGN_BIT 0
#endif

#define SWEEP_NS (100 * NS_PER_MS)
#define VALID_NS (20 * NS_PER_MS) /* between two looks whether what is parked is still there */
#define AGAIN_NS \
    (20 * NS_PER_MS) /* for a thread to make the call again that a signal took, before its connection is kept */
#define LOOK_MAX_NS (20 * NS_PER_MS)
#define STOP_SIGNAL (SIGRTMAX - 4)

enum {
    EVENTS = 32,
    I386_EXIT = 1,
    I386_EXIT_GROUP = 252,
};

/* --- Parked calls ------------------------------------------------------------------------------------------------ */

static void note_in_flight(struct supervisor *supervisor, uint64_t old, uint64_t new)
{
    for (size_t i = 0; i < IN_FLIGHT_MAX; i++)
        if (atomic_load(&supervisor->in_flight->ids[i]) == old) {
            atomic_store(&supervisor->in_flight->ids[i], new);
            return;
        }
}

static void unlink_parked(struct supervisor *supervisor, struct notified *call)
{
    struct notified **link = &supervisor->parked;
    while (*link != NULL && *link != call)
        link = &(*link)->next;
    if (*link == call)
        *link = call->next;
    note_in_flight(supervisor, call->notif.id, 0);
}

static void stop_waiting(struct notified *call)
{
    if (call->epoll >= 0)
        close(call->epoll);
    call->epoll = -1;
}

/* What is left of a parked call is given back. */
static void call_free(struct notified *call)
{
    stop_waiting(call);
    takeover_keep(call);
    call->thread->held = NULL;
    free(call);
}

/* The thread is gone, or does something else: what was decided for it never came about. */
static void call_drop(struct notified *call)
{
    unlink_parked(call->supervisor, call);
    if (call->stage != STAGE_CONFIRM && !call->signalled)
        notified_miss(call);
    call_free(call);
}

/* When a process ends in the middle of an accept, the kernel loses the connection as well; other threads may still get it. */
static void drop_thread(void *context, struct thread *thread)
{
    struct notified *call = thread->held;
    (void)context;
    if (call->connection >= 0 && !process_lives(thread->process)) {
        close(call->connection);
        call->connection = -1;
    }
    call_drop(call);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* Wakes the waiter for the first that is due, and now and then to see who is still there. */
static void arm_timer(struct supervisor *supervisor)
{
    uint64_t first = 0;
    struct itimerspec time = {.it_value = {0}};
    for (struct notified *call = supervisor->parked; call != NULL; call = call->next) {
        first = earlier(first, call->due_ns);
        if (!call->taken && call->stage != STAGE_CONFIRM)
            first = earlier(first, clock_ns() + VALID_NS);
    }
    time.it_value.tv_sec = (time_t)(first / NS_PER_S);
    time.it_value.tv_nsec = (long)(first % NS_PER_S);
    timerfd_settime(supervisor->timer, TFD_TIMER_ABSTIME, &time, NULL);
}

/* After a step that ended with OUTCOME: has the waiter look after CALL, which is on the heap, and linked. */
static void park(struct notified *call, enum outcome outcome)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.ptr = call};
    if (outcome == TAKEN) {
        stop_waiting(call);
        call->due_ns = call->connection >= 0 ? clock_ns() + AGAIN_NS : 0;
    } else if (call->epoll >= 0 && epoll_ctl(call->supervisor->epoll, EPOLL_CTL_ADD, call->epoll, &event) != 0 &&
               errno == EEXIST) {
        epoll_ctl(call->supervisor->epoll, EPOLL_CTL_MOD, call->epoll, &event);
    }
}

/* Goes on with a parked CALL. */
static void go_on(struct supervisor *supervisor, struct notified *call)
{
    enum outcome outcome = notified_run(call);
    if (outcome == ANSWERED) {
        unlink_parked(supervisor, call);
        call_free(call);
    } else {
        park(call, outcome);
    }
}

/* Copies a call that has to wait to the heap.  Without memory it is let through. */
static void keep_call(struct notified *call, enum outcome outcome)
{
    struct supervisor *supervisor = call->supervisor;
    struct notified *copy = malloc(sizeof *copy);
    if (copy == NULL) {
        stop_waiting(call);
        notified_miss(call);
        if (outcome == PARK && call->stage != STAGE_CONFIRM)
            notified_let_through(call);
        return;
    }
    *copy = *call;
    if (copy->decision.rule != NULL) /* which points into the decision itself */
        copy->decision.rule = &copy->decision.copy;
    copy->thread->held = copy;
    copy->next = supervisor->parked;
    supervisor->parked = copy;
    note_in_flight(supervisor, 0, copy->notif.id);
    park(copy, outcome);
    arm_timer(supervisor);
}

/* --- New calls --------------------------------------------------------------------------------------------------- */

static void let_through(struct supervisor *supervisor, const struct seccomp_notif *notif)
{
    struct seccomp_notif_resp response = {.id = notif->id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    ioctl(supervisor->listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

static bool is_foreign(const struct seccomp_notif *notif)
{
    return notif->data.arch != OWN_ARCH || (notif->data.nr & FOREIGN_BIT);
}

/* Whether a foreign call is one that only ends a thread: refused, a program would run on into what was never meant to run. */
static bool is_foreign_end(const struct seccomp_notif *notif)
{
    int number = notif->data.nr;
    if (notif->data.arch == AUDIT_ARCH_I386)
        return number == I386_EXIT || number == I386_EXIT_GROUP;
    return notif->data.arch == OWN_ARCH &&
           (number == (SYS_exit | FOREIGN_BIT) || number == (SYS_exit_group | FOREIGN_BIT));
}

static void refuse_foreign(struct supervisor *supervisor, const struct seccomp_notif *notif)
{
    char comm[16];
    struct seccomp_notif_resp response = {.id = notif->id, .error = -ENOSYS};
    target_comm((pid_t)notif->pid, comm);
    ioctl(supervisor->listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
    if (supervisor->said_foreign)
        return;
    supervisor->said_foreign = true;
    say_note("%d (%s) made a %s system call: they are refused with ENOSYS, for no rule would act on them",
             (int)notif->pid, comm, notif->data.arch == OWN_ARCH ? "x32" : "32-bit");
}

static void report_process(struct supervisor *supervisor, struct process *process, bool forked)
{
    char exe[PATH_MAX];
    struct proc proc = {.ppid = 0};
    struct event_process payload = {.forked = forked};
    struct event event = {.kind = EVENT_PROCESS, .pid = process->pid, .tid = process->pid, .fd = -1};
    process->executes = false;
    proc_exe(process->pid, exe);
    proc_read(process->pid, &proc);
    payload.ppid = proc.ppid;
    target_comm(process->pid, payload.comm);
    memcpy(process->comm, payload.comm, sizeof process->comm);
    memcpy(payload.exe, exe, strnlen(exe, sizeof payload.exe - 1)); /* cut to fit */
    event.t_ns = recorder_stamp(supervisor->recorder);
    recorder_write(supervisor->recorder, &event, &payload, sizeof payload);
}

/* no_new_privs keeps a program from becoming who it is meant to be. */
static void look_at_exec(struct supervisor *supervisor, struct thread *thread, const struct seccomp_notif *notif)
{
    char path[PATH_MAX] = "";
    thread->process->executes = true;
    if (supervisor->said_gains || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
        return;
    uint64_t at = notif->data.args[notif->data.nr == SYS_execveat];
    for (size_t i = 0; i < sizeof path - 1 && target_read(thread->tid, at + i, &path[i], 1) && path[i] != '\0'; i++)
        path[i + 1] = '\0';
    const char *gain = path[0] == '/' ? reach_gain(path) : NULL;
    if (gain == NULL || reach_may_gain())
        return;
    supervisor->said_gains = true;
    say_note("%s: %s, which the filter keeps it from (no_new_privs); with CAP_SYS_ADMIN it would not", path, gain);
}

/* The call that libc means: select is made by pselect6 without a mask. */
static enum call call_of(const struct seccomp_notif *notif)
{
    if (notif->data.nr == SYS_pselect6 && notif->data.args[5] == 0)
        return CALL_select;
#ifdef SYS_eventfd
    if (notif->data.nr == SYS_eventfd)
        return CALL_eventfd;
#endif
    return call_by_number(notif->data.nr);
}

static bool is_same(const struct seccomp_notif *a, const struct seccomp_notif *b)
{
    return memcmp(&a->data, &b->data, sizeof a->data) == 0;
}

/* The thread is back.  Returns whether NOTIF is the call that is held for it, which was gone on with. */
static bool take_up(struct supervisor *supervisor, struct notified *held, const struct seccomp_notif *notif)
{
    if (held->stage == STAGE_CONFIRM) {
        unlink_parked(supervisor, held);
        held->tries = UINT32_MAX / 2;
        notified_run(held);
        call_free(held);
        return false;
    }
    if (!is_same(&held->notif, notif) || !callsite_is_same(held, notif)) {
        call_drop(held);
        return false;
    }
    note_in_flight(supervisor, held->notif.id, notif->id);
    held->notif = *notif;
    held->taken = false;
    go_on(supervisor, held);
    arm_timer(supervisor);
    return true;
}

static void handle_call(struct supervisor *supervisor, struct thread *thread, const struct seccomp_notif *notif)
{
    struct notified call;
    memset(&call, 0, offsetof(struct notified, given));
    call.notif = *notif;
    call.supervisor = supervisor;
    call.thread = thread;
    call.process = thread->process;
    call.call = call_of(notif);
    call.epoll = call.connection = -1;
    if (call.call == CALL_NONE) {
        let_through(supervisor, notif);
        return;
    }
    enum outcome outcome = notified_run(&call);
    if (outcome != ANSWERED && outcome != AGAIN)
        keep_call(&call, outcome);
}

static void handle_thread(struct supervisor *supervisor, struct thread *thread, const struct seccomp_notif *notif)
{
    unsigned first = (unsigned)notif->data.args[0], last = (unsigned)notif->data.args[1];
    if (thread->held != NULL && take_up(supervisor, thread->held, notif))
        return;
    if (!supervisor->executed && notif->data.nr != SYS_execve) {
        let_through(supervisor, notif);
        return;
    }
    supervisor->executed = true;
    switch (notif->data.nr) {
    case SYS_execve:
    case SYS_execveat:
        look_at_exec(supervisor, thread, notif);
        let_through(supervisor, notif);
        break;
    case SYS_close_range:
        process_forget_fds(thread->process, first, last);
        let_through(supervisor, notif);
        break;
    default:
        handle_call(supervisor, thread, notif);
    }
}

static void handle(struct supervisor *supervisor, const struct seccomp_notif *notif)
{
    bool fresh;
    uint64_t now_ns = clock_ns();
    if (is_foreign(notif)) {
        if (is_foreign_end(notif))
            let_through(supervisor, notif);
        else
            refuse_foreign(supervisor, notif);
        return;
    }
    if (now_ns - supervisor->swept_ns > SWEEP_NS) {
        supervisor->swept_ns = now_ns;
        targets_sweep(supervisor->targets);
    }
    struct thread *thread = targets_find(supervisor->targets, (pid_t)notif->pid, &fresh);
    if (thread == NULL) {
        let_through(supervisor, notif);
        return;
    }
    bool executes = notif->data.nr == SYS_execve || notif->data.nr == SYS_execveat;
    if (!executes && supervisor->executed && (fresh || thread->process->executes)) {
        if (supervisor->callsites != NULL)
            callsites_enter(supervisor->callsites, thread->process);
        report_process(supervisor, thread->process, !thread->process->executes);
    }
    if (executes && fresh)
        thread->process->executes = true;
    handle_thread(supervisor, thread, notif);
}

static void *take_calls(void *context)
{
    struct supervisor *supervisor = context;
    struct seccomp_notif notif;
    if (takeover_prepare_thread() != 0)
        say_error("can't make a timer: %s; a blocking accept may hold up others", strerror(errno));
    while (!atomic_load(&supervisor->stopping)) {
        memset(&notif, 0, sizeof notif);
        if (ioctl(supervisor->listener, SECCOMP_IOCTL_NOTIF_RECV, &notif) != 0) {
            if (errno == EINTR || errno == ENOENT)
                continue;
            break;
        }
        atomic_store(&supervisor->in_flight->last, notif.id);
        pthread_mutex_lock(&supervisor->lock);
        handle(supervisor, &notif);
        pthread_mutex_unlock(&supervisor->lock);
    }
    return NULL;
}

/* --- The other thread -------------------------------------------------------------------------------------------- */

static bool is_parked(struct supervisor *supervisor, const void *call)
{
    for (struct notified *parked = supervisor->parked; parked != NULL; parked = parked->next)
        if (parked == call)
            return true;
    return false;
}

static bool waits(const struct notified *call)
{
    return !call->taken && call->stage == STAGE_CALL;
}

/* A connection has come to the socket that CALL waits for: as in the kernel, who has waited longest gets it. */
static void on_connection(struct notified *call)
{
    struct supervisor *supervisor = call->supervisor;
    struct notified *oldest = call;
    if (!waits(call))
        return;
    for (struct notified *other = supervisor->parked; other != NULL; other = other->next)
        if (waits(other) && other->socket == call->socket && other->notif.id < oldest->notif.id)
            oldest = other;
    go_on(supervisor, oldest);
    if (oldest != call && is_parked(supervisor, call) && waits(call))
        park(call, PARK); /* its event was used up for the other */
}

static void on_due(struct supervisor *supervisor, struct notified *call)
{
    if (call->taken) { /* the thread got EINTR, and did not try again */
        takeover_keep(call);
        call->due_ns = 0;
    } else {
        go_on(supervisor, call);
    }
}

static void look_at_parked(struct supervisor *supervisor)
{
    struct notified *next;
    uint64_t now_ns = clock_ns();
    for (struct notified *call = supervisor->parked; call != NULL; call = next) {
        next = call->next;
        if (!call->taken && call->stage != STAGE_CONFIRM && !notified_is_valid(call)) {
            call->taken = true;
            park(call, TAKEN);
        } else if (call->due_ns != 0 && call->due_ns <= now_ns) {
            on_due(supervisor, call);
        }
    }
}

static void *wait_for_parked(void *context)
{
    struct supervisor *supervisor = context;
    struct epoll_event events[EVENTS];
    uint64_t ticks;
    if (takeover_prepare_thread() != 0)
        say_error("can't make a timer: %s; a blocking accept may hold up others", strerror(errno));
    while (!atomic_load(&supervisor->stopping)) {
        int count = epoll_wait(supervisor->epoll, events, EVENTS, -1);
        pthread_mutex_lock(&supervisor->lock);
        for (int i = 0; i < count; i++)
            if (is_parked(supervisor, events[i].data.ptr))
                on_connection(events[i].data.ptr);
        if (read(supervisor->timer, &ticks, sizeof ticks) > 0 || count > 0)
            look_at_parked(supervisor);
        arm_timer(supervisor);
        pthread_mutex_unlock(&supervisor->lock);
    }
    return NULL;
}

/* --- From its start to its end ----------------------------------------------------------------------------------- */

static void on_stop(int signal)
{
    (void)signal;
}

static int open_waits(struct supervisor *supervisor)
{
    struct epoll_event event = {.events = EPOLLIN};
    supervisor->epoll = epoll_create1(EPOLL_CLOEXEC);
    supervisor->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    supervisor->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (supervisor->epoll < 0 || supervisor->timer < 0 || supervisor->stop < 0)
        return -1;
    event.data.ptr = &supervisor->timer;
    if (epoll_ctl(supervisor->epoll, EPOLL_CTL_ADD, supervisor->timer, &event) != 0)
        return -1;
    event.data.ptr = &supervisor->stop;
    return epoll_ctl(supervisor->epoll, EPOLL_CTL_ADD, supervisor->stop, &event);
}

static int open_parts(struct supervisor *supervisor, struct board *board)
{
    /* cppcheck-suppress invalidFunctionArg */
    void *shared = mmap(NULL, sizeof *supervisor->in_flight, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return -1;
    supervisor->in_flight = shared;
    supervisor->warden = warden_start(board, supervisor->in_flight);
    supervisor->recorder = recorder_new(board);
    supervisor->targets = targets_new(drop_thread, supervisor);
    supervisor->callsites = board->sites ? callsites_new(board) : NULL;
    if (board->sites && supervisor->callsites == NULL)
        atomic_fetch_add(&board->no_unwinder, 1);
    if (supervisor->warden < 0 || supervisor->recorder == NULL || supervisor->targets == NULL)
        return -1;
    return open_waits(supervisor);
}

struct supervisor *supervisor_new(struct board *board)
{
    struct supervisor *supervisor = calloc(1, sizeof *supervisor);
    if (supervisor == NULL)
        return NULL;
    supervisor->board = board;
    supervisor->joins = true;
    supervisor->listener = supervisor->epoll = supervisor->timer = supervisor->stop = supervisor->warden = -1;
    pthread_mutex_init(&supervisor->lock, NULL);
    if (open_parts(supervisor, board) == 0)
        return supervisor;
    int saved = errno;
    supervisor_free(supervisor);
    errno = saved;
    return NULL;
}

/* Signals are the first thread's, but for those that these two get from each other. */
static int start_threads(struct supervisor *supervisor)
{
    struct sigaction action = {.sa_handler = on_stop};
    sigset_t all, old;
    sigfillset(&all);
    sigdelset(&all, STOP_SIGNAL);
    if (sigaction(STOP_SIGNAL, &action, NULL) != 0)
        return -1;
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int error = pthread_create(&supervisor->taker, NULL, take_calls, supervisor);
    if (error == 0)
        error = pthread_create(&supervisor->waiter, NULL, wait_for_parked, supervisor);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    supervisor->running = error == 0;
    errno = error;
    return error == 0 ? 0 : -1;
}

int supervisor_start(struct supervisor *supervisor, int listener)
{
    supervisor->listener = listener;
    /* The server runs on our processor then, as in a call: half the price. */
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
    if (warden_give(supervisor->warden, listener) != 0 || start_threads(supervisor) != 0)
        return -1;
    atomic_fetch_add(&supervisor->board->attached, 1);
    return 0;
}

const char *supervisor_siteless(struct supervisor *supervisor)
{
    if (supervisor->callsites == NULL)
        return "libunwind can't be loaded: install libunwind8";
    return callsites_fault(supervisor->callsites);
}

/* Looks often at first, and never for more than an eighth of the time. */
bool supervisor_look_is_due(struct supervisor *supervisor, uint64_t now_ns)
{
    bool more = atomic_load(&supervisor->listens) != supervisor->listens_looked;
    return atomic_load(&supervisor->board->ready_ns) == 0 && (more || now_ns >= supervisor->look_ns);
}

void supervisor_look(struct supervisor *supervisor, const struct proc *list, size_t count)
{
    uint64_t begin = clock_ns();
    supervisor->listens_looked = atomic_load(&supervisor->listens);
    readiness_look(supervisor, list, count);
    uint64_t end = clock_ns(), pause = atomic_load(&supervisor->listens) > 0 ? NS_PER_MS : LOOK_MAX_NS;
    supervisor->look_ns = end + (8 * (end - begin) > pause ? 8 * (end - begin) : pause);
}

static void stop_threads(struct supervisor *supervisor)
{
    uint64_t one = 1;
    struct timespec moment = {.tv_nsec = (long)NS_PER_MS};
    atomic_store(&supervisor->stopping, true);
    while (write(supervisor->stop, &one, sizeof one) < 0 && errno == EINTR) {
    }
    while (pthread_tryjoin_np(supervisor->taker, NULL) != 0) {
        pthread_kill(supervisor->taker, STOP_SIGNAL);
        nanosleep(&moment, NULL);
    }
    pthread_join(supervisor->waiter, NULL);
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

void supervisor_free(struct supervisor *supervisor)
{
    if (supervisor == NULL)
        return;
    if (supervisor->running)
        stop_threads(supervisor);
    targets_free(supervisor->targets);
    callsites_free(supervisor->callsites);
    takeover_free(supervisor);
    close_fd(supervisor->listener);
    warden_end(supervisor->warden);
    recorder_free(supervisor->recorder);
    close_fd(supervisor->epoll);
    close_fd(supervisor->timer);
    close_fd(supervisor->stop);
    if (supervisor->in_flight != NULL)
        munmap(supervisor->in_flight, sizeof *supervisor->in_flight);
    pthread_mutex_destroy(&supervisor->lock);
    free(supervisor);
}
