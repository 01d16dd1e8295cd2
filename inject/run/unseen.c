#include "run/unseen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/say.h"

enum {
    LOOKS = 2,   /* that must have found a thing, for a record that explains it may be on its way */
    RARELY = 64, /* of so many looks, one is for connections, in the end */
};

struct unseen {
    struct unseen_program *programs;
    size_t count;
    bool refusable;    /* io_uring_setup is seen, whoever makes it */
    bool accepts_seen; /* some accept was recorded: the server makes them through libc */
    unsigned looks;    /* for which connections were asked for */
    bool suspects;     /* the last look has found one */
};

struct unseen *unseen_new(bool refusable)
{
    struct unseen *unseen = calloc(1, sizeof *unseen);
    if (unseen != NULL)
        unseen->refusable = refusable;
    return unseen;
}

void unseen_free(struct unseen *unseen)
{
    if (unseen != NULL)
        free(unseen->programs);
    free(unseen);
}

/* Returns what is known of the program of PID, called COMM; NULL: nothing. */
static struct unseen_program *find(struct unseen *unseen, pid_t pid, const char *comm)
{
    for (size_t i = 0; i < unseen->count; i++)
        if (unseen->programs[i].pid == pid || strcmp(unseen->programs[i].comm, comm) == 0)
            return &unseen->programs[i];
    return NULL;
}

/* As above, made if need be; NULL without memory: then it is not told of. */
static struct unseen_program *get(struct unseen *unseen, pid_t pid, const char *comm)
{
    struct unseen_program *program = find(unseen, pid, comm);
    if (program != NULL)
        return program;
    struct unseen_program *more = realloc(unseen->programs, (unseen->count + 1) * sizeof *more);
    if (more == NULL)
        return NULL;
    unseen->programs = more;
    program = &more[unseen->count++];
    *program = (struct unseen_program){.pid = pid, .by_syscall = unseen->refusable};
    snprintf(program->comm, sizeof program->comm, "%s", comm);
    return program;
}

void unseen_accept(struct unseen *unseen)
{
    unseen->accepts_seen = true;
}

void unseen_ring(struct unseen *unseen, pid_t pid, const char *comm)
{
    struct unseen_program *program = get(unseen, pid, comm);
    if (program != NULL)
        program->ring = program->by_syscall = true;
}

bool unseen_has_accept(const struct unseen *unseen)
{
    return unseen->accepts_seen;
}

bool unseen_has_ring(const struct unseen *unseen)
{
    for (size_t i = 0; i < unseen->count; i++)
        if (unseen->programs[i].ring)
            return true;
    return false;
}

bool unseen_has_connection(const struct unseen *unseen)
{
    for (size_t i = 0; i < unseen->count; i++)
        if (unseen->programs[i].accepted)
            return true;
    return false;
}

static void look_for_ring(struct unseen *unseen, const struct proc *process)
{
    struct unseen_program *program = find(unseen, process->pid, process->comm);
    if ((program != NULL && program->ring) || !proc_has_ring(process->pid))
        return;
    program = get(unseen, process->pid, process->comm);
    if (program != NULL)
        program->rings++;
}

static void look_for_connection(struct unseen *unseen, const struct proc *list, size_t count)
{
    char address[UNSEEN_ADDRESS_MAX];
    struct unseen_program *program = NULL;
    pid_t owner = proc_accepted(list, count, address, sizeof address);
    for (size_t i = 0; i < count && owner != 0; i++)
        if (list[i].pid == owner)
            program = get(unseen, owner, list[i].comm);
    unseen->suspects = program != NULL;
    if (program == NULL || program->accepted)
        return;
    program->connections++;
    memcpy(program->address, address, sizeof address);
}

/* The first looks count most: of a server without any client, all sockets of the system are not read every second. */
static bool is_due(struct unseen *unseen)
{
    unsigned looks = ++unseen->looks;
    return unseen->suspects || (looks < RARELY ? (looks & (looks - 1)) == 0 : looks % RARELY == 0);
}

void unseen_look(struct unseen *unseen, const struct proc *list, size_t count, bool accepts, bool last)
{
    for (size_t i = 0; i < count; i++)
        look_for_ring(unseen, &list[i]);
    if (accepts && !unseen->accepts_seen && count > 0 && (is_due(unseen) || last))
        look_for_connection(unseen, list, count);
}

static void say_ring(struct unseen_program *program)
{
    program->said_ring = true;
    say_note("%d (%s) uses io_uring: what it does through it is invisible to this backend; %s", (int)program->pid,
             program->comm,
             program->by_syscall ? "io_uring_setup:error=ENOSYS refuses it"
                                 : "it set it up without libc, so no rule can refuse it");
}

static void say_accepted(struct unseen_program *program)
{
    program->said_accepted = true;
    say_note("%d (%s) has accepted on %s %s: no rule acts there", (int)program->pid, program->comm, program->address,
             program->ring ? "through io_uring" : "by a system call of its own, without libc");
}

void unseen_judge(struct unseen *unseen, bool last)
{
    unsigned enough = last ? 1 : LOOKS;
    for (size_t i = 0; i < unseen->count; i++) {
        struct unseen_program *program = &unseen->programs[i];
        program->ring = program->ring || program->rings >= enough;
        program->accepted = program->accepted || (!unseen->accepts_seen && program->connections >= enough);
        if (program->ring && !program->said_ring)
            say_ring(program);
        if (program->accepted && !program->said_accepted)
            say_accepted(program);
    }
}

const struct unseen_program *unseen_programs(const struct unseen *unseen, size_t *count)
{
    *count = unseen->count;
    return unseen->programs;
}
