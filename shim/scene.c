/*
 * scene.c - what decide() may ask about a call in this process.  Everything is asked of the kernel on the spot, by raw
 * system calls, and only for calls that a rule with such a filter names.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/un.h>
#include <unistd.h>

#include "fds.h"
#include "hook.h"
#include "memory.h"
#include "raw.h"
#include "site.h"

static const struct hook *hook_of(const struct scene *scene)
{
    return (const struct hook *)(const void *)scene;
}

static struct stack *scene_site(const struct scene *scene)
{
    return hook_site((struct hook *)(uintptr_t)scene); /* it remembers what it found */
}

static _Atomic uint64_t *scene_counter(const struct scene *scene, uint32_t slot, enum rule_scope scope)
{
    const struct stack *stack;
    switch (scope) {
    case PER_PROCESS:
        return &session_process()->ordinals[slot];
    case PER_THREAD:
        return &session_thread()->ordinals[slot];
    case PER_FD:
        return session_fd_ordinal(slot, scene->fd);
    case PER_SITE:
        stack = scene_site(scene);
        return stack ? board_site_ordinal(snag_board, slot, site_index(stack)) : NULL;
    case PER_TREE:
        break;
    }
    return NULL;
}

/* A unix path as the filters see it: '@' for the NUL of an abstract name. */
static void set_path(struct scene_address *out, const struct sockaddr_un *address, socklen_t length)
{
    size_t offset = offsetof(struct sockaddr_un, sun_path);
    size_t size = length > offset ? length - offset : 0;
    if (size > sizeof address->sun_path)
        size = sizeof address->sun_path;
    memcpy(out->path, address->sun_path, size);
    out->path[size] = 0;
    if (size > 1 && out->path[0] == 0)
        out->path[0] = '@';
}

static void set_address(struct scene_address *out, const struct sockaddr_storage *address, socklen_t length)
{
    const struct sockaddr_in *in4 = (const void *)address;
    const struct sockaddr_in6 *in6 = (const void *)address;
    if (length < sizeof address->ss_family)
        return;
    out->family = address->ss_family;
    if (out->family == AF_INET && length >= sizeof *in4) {
        out->port = ntohs(in4->sin_port);
        memcpy(out->bytes, &in4->sin_addr, sizeof in4->sin_addr);
    } else if (out->family == AF_INET6 && length >= sizeof *in6) {
        out->port = ntohs(in6->sin6_port);
        memcpy(out->bytes, &in6->sin6_addr, sizeof in6->sin6_addr);
    } else if (out->family == AF_UNIX) {
        set_path(out, (const void *)address, length);
    }
}

static void scene_address(const struct scene *scene, struct scene_address *out)
{
    const struct hook *hook = hook_of(scene);
    struct sockaddr_storage own = {0};
    socklen_t length = sizeof own;
    if (scene->call == CALL_socket || scene->call == CALL_socketpair) {
        out->family = (uint16_t)hook->domain;
        return;
    }
    if (scene->call == CALL_bind) {
        length = hook->length < length ? hook->length : length;
        if (!hook->address || !memory_copy(&own, hook->address, length))
            return;
    } else if (raw3(SYS_getsockname, scene->fd, raw_pointer(&own), raw_pointer(&length)) != 0) {
        return;
    }
    set_address(out, &own, length < sizeof own ? length : sizeof own);
}

static bool scene_pending(const struct scene *scene)
{
    struct pollfd listener = {.fd = scene->fd, .events = POLLIN};
    struct timespec at_once = {0, 0};
    long ready = snag_raw(SYS_ppoll, raw_pointer(&listener), 1, raw_pointer(&at_once), 0, 0, 0);
    return ready == 1 && (listener.revents & POLLIN);
}

static void scene_thread(const struct scene *scene, char out[16])
{
    (void)scene;
    memset(out, 0, 16);
    raw2(SYS_prctl, PR_GET_NAME, raw_pointer(out));
}

/* The process's name is that of its first thread. */
static void scene_comm(const struct scene *scene, char out[16])
{
    if (raw2(SYS_getpid, 0, 0) == raw2(SYS_gettid, 0, 0)) {
        scene_thread(scene, out);
        return;
    }
    memset(out, 0, 16);
    long fd = snag_raw(SYS_openat, AT_FDCWD, raw_pointer("/proc/self/comm"), O_RDONLY | O_CLOEXEC, 0, 0, 0);
    if (fd < 0)
        return;
    long length = raw3(SYS_read, fd, raw_pointer(out), 15);
    raw2(SYS_close, fd, 0);
    if (length > 0 && out[length - 1] == '\n')
        out[length - 1] = 0;
}

static uint64_t scene_now(const struct scene *scene)
{
    (void)scene;
    return session_now();
}

/*
 * When EMFILE strikes, the descriptors that are open then are the table's size, as if RLIMIT_NOFILE stood there; a call
 * gets through while fewer are open.  That holds for whoever frees and takes descriptors, seen by us or not: a spare
 * one that is closed, used and opened again included.  Counting costs a system call a descriptor, so it is done only
 * when something was freed since the last count.  A call that makes two descriptors needs room for both.  ENFILE counts
 * open files, of which dup2 over a descriptor frees one, though the descriptor itself is taken again at once.
 */
__attribute__((noinline)) static bool count_room(const struct scene *scene, struct strike *strike, uint32_t serial,
                                                 int32_t error)
{
    struct process *process = snag_process;
    uint32_t capacity = atomic_load_explicit(&strike->open, memory_order_relaxed), high = strike->high;
    uint32_t frees = atomic_load_explicit(&process->frees, memory_order_relaxed);
    uint32_t needed = call_info(scene->call)->traits & PAIR ? 2 : 1;
    if (capacity == 0 || strike->serial != serial) {
        atomic_store_explicit(&process->struck, true, memory_order_relaxed);
        strike->serial = serial;
        strike->high = 0;
        strike->frees = frees;
        strike->replaced = atomic_load_explicit(&process->replaced, memory_order_relaxed);
        atomic_store_explicit(&strike->open, fds_count_open(&strike->high) + 1, memory_order_relaxed);
        return false;
    }
    if (error == ENFILE) {
        high = 0; /* files are counted whatever their numbers */
        capacity += atomic_load_explicit(&process->replaced, memory_order_relaxed) - strike->replaced;
    }
    uint32_t taken = fds_count_open(&high) + 1;
    if (taken >= capacity)
        strike->frees = frees;
    return taken + needed <= capacity;
}

/* The usual answer, with a server that does nothing but try again, is that nothing was freed. */
static bool scene_room(const struct scene *scene, uint32_t slot, uint32_t serial, int32_t error, bool firing)
{
    struct process *process = snag_process; /* valid since hook_begin() */
    struct strike *strike = &process->strikes[slot];
    uint32_t capacity = atomic_load_explicit(&strike->open, memory_order_relaxed);
    uint32_t frees = atomic_load_explicit(&process->frees, memory_order_relaxed);
    if (!firing) {
        if (capacity)
            atomic_store_explicit(&strike->open, 0, memory_order_relaxed);
        return false;
    }
    if (capacity && frees == strike->frees && strike->serial == serial)
        return false;
    return count_room(scene, strike, serial, error);
}

const struct scene_ops hook_scene_ops = {
    .counter = scene_counter,
    .address = scene_address,
    .pending = scene_pending,
    .comm = scene_comm,
    .thread = scene_thread,
    .now = scene_now,
    .room = scene_room,
    .site = scene_site,
};
