#include "run/attach.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run/clock.h"
#include "run/reach.h"

#define PATIENCE_NS NS_PER_S

/* What is known of a process.  The times decide, for records of two threads may be read in any order. */
struct member {
    pid_t pid;
    uint64_t exec_ns;     /* the last exec that was announced, ... */
    uint64_t attached_ns; /* ... or the last record that the shim is in it, ... */
    uint64_t mapped_ns;   /* ... or when its maps said so, ... */
    uint64_t failed_ns;   /* ... or that the exec failed */
    uint64_t seen_ns;     /* when snag first saw it without an answer; 0: not yet */
    uint64_t looked_ns;   /* the last look at it */
    bool judged;          /* unreached, and noted so */
    bool living;
    char comm[16]; /* when it attached */
    char *path;    /* what was executed, or NULL */
};

struct attach {
    char *board_path;
    struct member *members;
    size_t count, room;
    struct unreached *unreached;
    size_t unreached_count;
    size_t reached;
};

struct attach *attach_new(const char *board_path)
{
    struct attach *attach = calloc(1, sizeof *attach);
    if (attach == NULL)
        return NULL;
    attach->board_path = strdup(board_path);
    if (attach->board_path == NULL) {
        free(attach);
        return NULL;
    }
    return attach;
}

void attach_free(struct attach *attach)
{
    if (attach == NULL)
        return;
    for (size_t i = 0; i < attach->count; i++)
        free(attach->members[i].path);
    free(attach->members);
    free(attach->unreached);
    free(attach->board_path);
    free(attach);
}

/* Returns what is known of PID, made if need be; NULL without memory: then PID is not followed. */
static struct member *member_of(struct attach *attach, pid_t pid)
{
    for (size_t i = 0; i < attach->count; i++)
        if (attach->members[i].pid == pid)
            return &attach->members[i];
    if (attach->count == attach->room) {
        size_t room = attach->room ? 2 * attach->room : 64;
        struct member *more = realloc(attach->members, room * sizeof *more);
        if (more == NULL)
            return NULL;
        attach->members = more;
        attach->room = room;
    }
    struct member *member = &attach->members[attach->count++];
    *member = (struct member){.pid = pid};
    return member;
}

static void forget(struct attach *attach, size_t index)
{
    free(attach->members[index].path);
    attach->members[index] = attach->members[--attach->count];
}

/* Whether an exec is still without an answer. */
static bool is_waiting(const struct member *member)
{
    return member->attached_ns < member->exec_ns && member->mapped_ns < member->exec_ns &&
           member->failed_ns < member->exec_ns;
}

static void note_exec(struct attach *attach, pid_t pid, const char *path, uint64_t t_ns)
{
    struct member *member = member_of(attach, pid);
    if (member == NULL || t_ns < member->exec_ns)
        return;
    member->exec_ns = t_ns;
    member->mapped_ns = 0; /* an exec is announced before it is made: those may have been the maps of the old program */
    if (t_ns > member->looked_ns) { /* else the program was looked at before this record of its start was read */
        member->seen_ns = 0;
        member->judged = false;
    }
    free(member->path);
    member->path = path != NULL ? strdup(path) : NULL;
}

void attach_started(struct attach *attach, pid_t pid, const char *path, uint64_t t_ns)
{
    note_exec(attach, pid, path, t_ns);
}

static void note_process(struct attach *attach, const struct event *event, const void *payload)
{
    const struct event_process *process = payload;
    struct member *member = member_of(attach, event->pid);
    if (event->payload < sizeof *process)
        return;
    attach->reached += !process->forked;
    if (member == NULL || event->t_ns <= member->attached_ns)
        return;
    member->attached_ns = event->t_ns;
    memcpy(member->comm, process->comm, sizeof member->comm);
    member->comm[sizeof member->comm - 1] = '\0';
}

void attach_event(struct attach *attach, const struct event *event, const void *payload)
{
    char path[EVENT_PAYLOAD_MAX + 1] = "";
    struct member *member;
    switch (event->kind) {
    case EVENT_PROCESS:
        note_process(attach, event, payload);
        break;
    case EVENT_EXEC:
        memcpy(path, payload, event->payload);
        note_exec(attach, event->pid, event->payload ? path : NULL, event->t_ns);
        break;
    case EVENT_EXEC_FAILED:
        member = member_of(attach, event->pid);
        if (member != NULL && event->t_ns > member->failed_ns)
            member->failed_ns = event->t_ns;
        break;
    default:
        break;
    }
}

static struct unreached *find_entry(struct attach *attach, const char *exe)
{
    for (size_t i = 0; i < attach->unreached_count; i++)
        if (strcmp(attach->unreached[i].exe, exe) == 0)
            return &attach->unreached[i];
    return NULL;
}

/* Programs that are started again and again are one entry, so that a loop in a script doesn't fill the report. */
static struct unreached *entry_of(struct attach *attach, const char *exe)
{
    struct unreached *known = find_entry(attach, exe);
    if (known != NULL)
        return known;
    struct unreached *more = realloc(attach->unreached, (attach->unreached_count + 1) * sizeof *more);
    if (more == NULL)
        return NULL;
    attach->unreached = more;
    struct unreached *entry = &more[attach->unreached_count++];
    memset(entry, 0, sizeof *entry);
    snprintf(entry->exe, sizeof entry->exe, "%s", exe);
    return entry;
}

/* A program may begin to listen long after it was found out. */
static void look_for_address(struct unreached *entry, pid_t pid)
{
    if (entry->listens[0] == '\0')
        proc_listens(pid, entry->listens, sizeof entry->listens);
}

static void judge(struct attach *attach, struct member *member, const char *exe, const char *why)
{
    struct unreached *entry = entry_of(attach, exe);
    member->judged = true;
    if (entry == NULL)
        return;
    if (entry->count++ == 0) {
        entry->pid = member->pid;
        snprintf(entry->why, sizeof entry->why, "%s", why);
    }
    look_for_address(entry, member->pid);
}

/*
 * A process without an answer.  Its file tells at once if it is the new program already: the old one is one that the
 * shim was in, so a file that can't be reached is the new one.
 */
static void look_at_silent(struct attach *attach, struct member *member, uint64_t now_ns)
{
    char exe[PATH_MAX];
    struct unreached *known;
    member->looked_ns = clock_ns();
    proc_exe(member->pid, exe);
    if (member->judged && (known = find_entry(attach, exe)) != NULL) {
        look_for_address(known, member->pid);
        return;
    }
    if (member->seen_ns == 0)
        member->seen_ns = now_ns;
    int maps = proc_maps(member->pid, attach->board_path);
    if (maps == 1) {
        /* A fork of a process that the shim is in; or the record that said so was lost. */
        if (member->exec_ns == 0 || now_ns - member->seen_ns > PATIENCE_NS)
            member->mapped_ns = now_ns;
        return;
    }
    const char *fault = reach_file(exe);
    if (fault != NULL)
        judge(attach, member, exe, fault);
    else if (maps == 0 && now_ns - member->seen_ns > PATIENCE_NS)
        judge(attach, member, exe, "the shim is not in it");
}

void attach_look(struct attach *attach, const struct proc *list, size_t count, uint64_t now_ns)
{
    for (size_t i = 0; i < attach->count; i++)
        attach->members[i].living = false;
    for (size_t i = 0; i < count; i++) {
        struct member *member = member_of(attach, list[i].pid);
        if (member == NULL)
            continue;
        member->living = true;
        if (is_waiting(member) || (member->exec_ns == 0 && member->attached_ns == 0 && member->mapped_ns == 0))
            look_at_silent(attach, member, now_ns);
    }
    /* One that is gone and had nothing open is of no more interest; its pid may come back as another process. */
    for (size_t i = attach->count; i-- > 0;)
        if (!attach->members[i].living && (attach->members[i].judged || !is_waiting(&attach->members[i])) &&
            attach->members[i].seen_ns + PATIENCE_NS < now_ns &&
            attach->members[i].attached_ns + PATIENCE_NS < now_ns &&
            attach->members[i].mapped_ns + PATIENCE_NS < now_ns)
            forget(attach, i);
}

void attach_finish(struct attach *attach)
{
    for (size_t i = 0; i < attach->count; i++) {
        struct member *member = &attach->members[i];
        if (!member->judged && is_waiting(member)) {
            const char *path = member->path != NULL ? member->path : "?";
            const char *fault = reach_file(path);
            judge(attach, member, path, fault != NULL ? fault : "it ended before the shim was in it");
        }
    }
}

const char *attach_name(const struct attach *attach, pid_t pid)
{
    for (size_t i = 0; i < attach->count; i++)
        if (attach->members[i].pid == pid && attach->members[i].comm[0] != '\0')
            return attach->members[i].comm;
    return "?";
}

void attach_prune(struct attach *attach)
{
    for (size_t i = attach->count; i-- > 0;)
        if (kill(attach->members[i].pid, 0) != 0 && errno == ESRCH && !is_waiting(&attach->members[i]))
            forget(attach, i);
}

bool attach_process(const struct attach *attach, size_t index, struct attached *out)
{
    for (size_t i = 0; i < attach->count; i++) {
        const struct member *member = &attach->members[i];
        if ((member->attached_ns == 0 && member->mapped_ns == 0) || kill(member->pid, 0) != 0 || index-- > 0)
            continue;
        *out = (struct attached){.pid = member->pid};
        memcpy(out->comm, member->comm, sizeof out->comm);
        return true;
    }
    return false;
}

size_t attach_reached(const struct attach *attach)
{
    return attach->reached;
}

const struct unreached *attach_unreached(const struct attach *attach, size_t *count)
{
    *count = attach->unreached_count;
    return attach->unreached;
}
