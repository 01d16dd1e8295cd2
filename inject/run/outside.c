/*
 * outside.c - what decide() may ask about a call, asked from outside of the process that makes it.
 */
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "run/clock.h"
#include "run/notified.h"

static struct notified *call_of(const struct scene *scene)
{
    return (struct notified *)(uintptr_t)scene;
}

static _Atomic uint64_t *outside_counter(const struct scene *scene, uint32_t slot, enum rule_scope scope)
{
    struct notified *call = call_of(scene);
    switch (scope) {
    case PER_PROCESS:
        return &call->process->ordinals[slot];
    case PER_THREAD:
        return &call->thread->ordinals[slot];
    case PER_FD:
        return scene->fd >= 0 ? process_fd_ordinal(call->process, slot, scene->fd) : NULL;
    case PER_SITE:
        if (call->stack == NULL)
            return NULL;
        return board_site_ordinal(call->supervisor->board, slot,
                                  (uint32_t)(call->stack - board_stack(call->supervisor->board, 0)));
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
    out->path[size] = '\0';
    if (size > 1 && out->path[0] == '\0')
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

/* The address that FD is bound to; its length, 0 if there is none. */
static socklen_t own_address(struct notified *call, int fd, struct sockaddr_storage *out)
{
    socklen_t length = sizeof *out;
    int duplicate = process_fd(call->process, fd);
    if (duplicate < 0)
        return 0;
    if (getsockname(duplicate, (struct sockaddr *)out, &length) != 0)
        length = 0;
    close(duplicate);
    return length;
}

static void outside_address(const struct scene *scene, struct scene_address *out)
{
    struct notified *call = call_of(scene);
    const uint64_t *given = (const uint64_t *)(const void *)call->notif.data.args;
    struct sockaddr_storage own = {0};
    socklen_t length = sizeof own;
    if (scene->call == CALL_socket || scene->call == CALL_socketpair) {
        out->family = (uint16_t)given[0];
        return;
    }
    if (scene->call == CALL_bind) {
        length = given[2] < length ? (socklen_t)given[2] : length;
        if (!target_read(call->thread->tid, given[1], &own, length))
            return;
    } else {
        length = own_address(call, scene->fd, &own);
    }
    set_address(out, &own, length < sizeof own ? length : sizeof own);
}

static bool outside_pending(const struct scene *scene)
{
    struct notified *call = call_of(scene);
    struct pollfd listener = {.fd = process_fd(call->process, scene->fd), .events = POLLIN};
    if (listener.fd < 0)
        return false;
    bool pending = poll(&listener, 1, 0) == 1 && (listener.revents & POLLIN);
    close(listener.fd);
    return pending;
}

static void outside_comm(const struct scene *scene, char out[16])
{
    target_comm(call_of(scene)->process->pid, out);
}

static void outside_thread(const struct scene *scene, char out[16])
{
    target_comm(call_of(scene)->thread->tid, out);
}

static uint64_t outside_now(const struct scene *scene)
{
    (void)scene;
    return clock_ns();
}

/*
 * As in the shim: the descriptors that are open when EMFILE strikes are the table's size, and a call gets through while
 * fewer are open; ENFILE counts open files, of which dup2 over a descriptor frees one.  The kernel is asked each time: it
 * answers in a fraction of what the notification costs.
 */
static bool outside_room(const struct scene *scene, uint32_t slot, uint32_t serial, int32_t error, bool firing)
{
    struct notified *call = call_of(scene);
    struct process *process = call->process;
    struct strike *strike = &process->strikes[slot];
    uint32_t capacity = strike->serial == serial ? strike->open : 0,
             needed = call_info(scene->call)->traits & PAIR ? 2 : 1;
    if (!firing) {
        strike->open = 0;
        return false;
    }
    uint32_t taken = process_open_count(process) + 1;
    if (capacity == 0) {
        process->struck = true;
        strike->open = taken;
        strike->serial = serial;
        strike->replaced = process->replaced;
        return false;
    }
    if (error == ENFILE)
        capacity += process->replaced - strike->replaced;
    return taken + needed <= capacity;
}

/* Found before anything is decided (callsite.c). */
static struct stack *outside_site(const struct scene *scene)
{
    return call_of(scene)->stack;
}

const struct scene_ops outside_scene_ops = {
    .site = outside_site,
    .counter = outside_counter,
    .address = outside_address,
    .pending = outside_pending,
    .comm = outside_comm,
    .thread = outside_thread,
    .now = outside_now,
    .room = outside_room,
};
