#include "run/callsite.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run/mapping.h"
#include "run/program.h"
#include "run/registers.h"
#include "run/stackwalk.h"

enum {
    BUCKETS = 256,        /* of an image, by call and innermost address; a power of two */
    NEAR = 16 << 10,      /* bytes of a stack that are read at once; places further out are read one by one */
    KNOWN_MAX = 64 << 20, /* bytes for all that is known; without room each call is walked */
    AUXV_MAX = 1024,
    FD_FEW = 512, /* descriptors below this number are kept for threads */
    MARKS_MAX = 8,
};

/* Something that may be unloaded, and that a stack goes through. */
struct mark {
    uint64_t at;
    size_t size;
    uint8_t bytes[MARK_MAX];
};

/* A stack that was walked. */
struct known {
    struct known *next; /* in its bucket */
    uint64_t pc;
    enum call call;
    uint32_t stack; /* on the board */
    int32_t reach;  /* bytes from the stack pointer that its places are in */
    size_t slot_count, mark_count;
    struct mark *marks;
    struct slot slots[];
};

/* A program, as it was executed: what it was told of itself then is the same in all that was forked from it. */
struct image {
    struct image *next;
    struct callsites *callsites;
    uint64_t hash;
    dev_t device;
    ino_t inode;
    unsigned users; /* processes */
    struct known *buckets[BUCKETS];
};

struct callsites {
    struct board *board;
    struct image *images;
    size_t size;         /* bytes of what is known */
    _Atomic bool faulty; /* `fault` is written, by which a stack could not be walked */
    char fault[256];
    struct trail trail;
    unsigned char near[NEAR];
};

/* --- Images ------------------------------------------------------------------------------------------------------ */

struct callsites *callsites_new(struct board *board)
{
    struct callsites *callsites = stackwalk_begin() ? calloc(1, sizeof *callsites) : NULL;
    if (callsites != NULL)
        callsites->board = board;
    else if (!stackwalk_begin())
        errno = ENOSYS;
    return callsites;
}

static size_t known_size(const struct known *known)
{
    return sizeof *known + known->slot_count * sizeof known->slots[0] + known->mark_count * sizeof known->marks[0];
}

static void image_free(struct image *image)
{
    struct image **link = &image->callsites->images;
    while (*link != image)
        link = &(*link)->next;
    *link = image->next;
    for (size_t i = 0; i < BUCKETS; i++)
        while (image->buckets[i] != NULL) {
            struct known *known = image->buckets[i];
            image->buckets[i] = known->next;
            image->callsites->size -= known_size(known);
            free(known->marks);
            free(known);
        }
    free(image);
}

void callsites_leave(struct process *process)
{
    if (process->image != NULL && --process->image->users == 0)
        image_free(process->image);
    process->image = NULL;
}

void callsites_free(struct callsites *callsites)
{
    while (callsites != NULL && callsites->images != NULL)
        image_free(callsites->images);
    free(callsites);
    programs_forget();
}

/* FNV-1a of the vector that the kernel gave the program with its start: addresses, which are others the next time. */
static bool hash_start(pid_t pid, uint64_t *out)
{
    char path[64];
    unsigned char vector[AUXV_MAX];
    snprintf(path, sizeof path, "/proc/%d/auxv", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, vector, sizeof vector) : -1;
    if (fd >= 0)
        close(fd);
    *out = UINT64_C(0xcbf29ce484222325);
    for (ssize_t i = 0; i < length; i++)
        *out = (*out ^ vector[i]) * UINT64_C(0x100000001b3);
    return length > 0;
}

static struct image *image_of(struct callsites *callsites, pid_t pid)
{
    char path[64];
    struct stat program;
    uint64_t hash;
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    if (stat(path, &program) != 0 || !hash_start(pid, &hash))
        return NULL;
    for (struct image *image = callsites->images; image != NULL; image = image->next)
        if (image->hash == hash && image->device == program.st_dev && image->inode == program.st_ino)
            return image;
    struct image *image = calloc(1, sizeof *image);
    if (image == NULL)
        return NULL;
    image->callsites = callsites;
    image->hash = hash;
    image->device = program.st_dev;
    image->inode = program.st_ino;
    image->next = callsites->images;
    callsites->images = image;
    return image;
}

void callsites_enter(struct callsites *callsites, struct process *process)
{
    struct image *image = image_of(callsites, process->pid);
    bool fresh = image != NULL && image->users == 0;
    if (image != NULL)
        image->users++; /* before the old one is left, which may be the same */
    callsites_leave(process);
    process->image = image;
    struct mappings *mappings = fresh ? mappings_read(process->pid, callsites->board) : NULL;
    if (mappings != NULL)
        mappings_register(mappings);
    mappings_free(mappings);
}

/* --- Stacks that are known --------------------------------------------------------------------------------------- */

static struct known **bucket_of(struct image *image, enum call call, uint64_t pc)
{
    uint64_t hash = (pc ^ (uint64_t)call << 48) * UINT64_C(0x9e3779b97f4a7c15);
    return &image->buckets[hash >> 56];
}

/* What the kernel says of the call that THREAD is in, terminated: "running", or numbers. */
static void read_place(struct thread *thread, char *line, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/syscall", (int)thread->process->pid, (int)thread->tid);
    int fd = thread->place >= 0 ? thread->place : open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? pread(fd, line, size - 1, 0) : -1;
    line[length > 0 ? length : 0] = '\0';
    thread->place = fd < FD_FEW ? fd : -1;
    if (fd >= FD_FEW)
        close(fd);
}

/* The stack pointer of CALL, behind its arguments; 0: not known.  We may be told of it before its thread has come to rest. */
static uint64_t read_sp(const struct notified *call)
{
    char line[256];
    read_place(call->thread, line, sizeof line);
    while (line[0] == 'r' && notified_is_valid(call)) {
        sched_yield();
        read_place(call->thread, line, sizeof line);
    }
    char *pc = strrchr(line, ' ');
    if (pc == NULL)
        return 0;
    *pc = '\0';
    const char *sp = strrchr(line, ' ');
    return sp != NULL ? strtoull(sp + 1, NULL, 16) : 0;
}

static bool holds(const struct known *known, pid_t tid, uint64_t sp, const unsigned char *near, size_t length)
{
    for (size_t i = 0; i < known->slot_count; i++) {
        const struct slot *slot = &known->slots[i];
        uint64_t word, wanted = (uint64_t)slot->value + (slot->relative ? sp : 0);
        size_t at = (size_t)slot->at;
        if (at + sizeof word <= length)
            memcpy(&word, near + at, sizeof word);
        else if (!target_read(tid, sp + at, &word, sizeof word))
            return false;
        if (word != wanted)
            return false;
    }
    return true;
}

/* Whether what the stack goes through is what was there when it was walked. */
static bool is_mapped(const struct known *known, pid_t tid)
{
    uint8_t bytes[MARK_MAX];
    for (size_t i = 0; i < known->mark_count; i++) {
        const struct mark *mark = &known->marks[i];
        if (!target_read(tid, mark->at, bytes, mark->size) || memcmp(bytes, mark->bytes, mark->size) != 0)
            return false;
    }
    return true;
}

static struct stack *find_known(struct callsites *callsites, const struct notified *call, uint64_t sp)
{
    uint64_t pc = call->notif.data.instruction_pointer;
    struct known *first = *bucket_of(call->process->image, call->call, pc);
    int32_t reach = 0;
    for (struct known *known = first; known != NULL; known = known->next)
        if (known->reach > reach && known->reach <= NEAR)
            reach = known->reach;
    size_t length = reach > 0 && target_read(call->thread->tid, sp, callsites->near, (size_t)reach) ? (size_t)reach : 0;
    for (struct known *known = first; known != NULL; known = known->next)
        if (known->pc == pc && known->call == call->call &&
            holds(known, call->thread->tid, sp, callsites->near, length) && is_mapped(known, call->thread->tid))
            return board_stack(callsites->board, known->stack);
    return NULL;
}

/* Adds what FILE is known by to the COUNT MARKS, if it can be unloaded; returns how many there are then. */
static size_t add_mark(struct mark *marks, size_t count, const struct mapped *file)
{
    if (file == NULL || file->is_program || file->left_out)
        return count;
    for (size_t i = 0; i < count; i++)
        if (marks[i].at == file->mark_at)
            return count;
    if (count < MARKS_MAX) {
        marks[count] = (struct mark){.at = file->mark_at, .size = file->mark_size};
        memcpy(marks[count].bytes, file->mark, file->mark_size);
    }
    return count + 1;
}

/* Keeps the way to STACK, if it can be known again. */
static void keep(struct callsites *callsites, const struct notified *call, uint32_t stack,
                 const struct mappings *mappings)
{
    const struct trail *trail = &callsites->trail;
    struct mark marks[MARKS_MAX];
    size_t mark_count = 0;
    for (size_t i = 0; i < trail->count && trail->lasting; i++)
        mark_count = add_mark(marks, mark_count, mappings_find(mappings, trail->ips[i] - 1));
    if (!trail->lasting || mark_count > MARKS_MAX || callsites->size > KNOWN_MAX)
        return;
    struct known *known = malloc(sizeof *known + trail->slot_count * sizeof known->slots[0]);
    if (known == NULL)
        return;
    *known = (struct known){.pc = trail->ips[0], .call = call->call, .stack = stack};
    known->marks = calloc(mark_count > 0 ? mark_count : 1, sizeof known->marks[0]);
    if (known->marks == NULL) {
        free(known);
        return;
    }
    memcpy(known->marks, marks, mark_count * sizeof marks[0]);
    known->mark_count = mark_count;
    known->slot_count = trail->slot_count;
    memcpy(known->slots, trail->slots, trail->slot_count * sizeof trail->slots[0]);
    for (size_t i = 0; i < trail->slot_count; i++)
        if (trail->slots[i].at + 8 > known->reach)
            known->reach = trail->slots[i].at + 8;
    struct known **bucket = bucket_of(call->process->image, call->call, known->pc);
    known->next = *bucket;
    *bucket = known;
    callsites->size += known_size(known);
}

/* --- New stacks -------------------------------------------------------------------------------------------------- */

/* How many of the innermost addresses are of the C library's, or Go's, in a static program: left out as libc.so's are. */
static size_t count_wrappers(const struct trail *trail, enum call call, const struct mappings *mappings)
{
    size_t count = 0;
    for (; count + 1 < trail->count; count++) {
        const struct mapped *file = mappings_find(mappings, trail->ips[count] - 1);
        const struct program *program = file != NULL ? mappings_program(mappings, file) : NULL;
        if (program == NULL || !program_wraps(program, call, trail->ips[count] - 1 - file->bias))
            return count;
    }
    return count;
}

/* Puts the stack that the trail leads through on the board, or finds it there. */
static uint32_t put_stack(struct callsites *callsites, enum call call, const struct mappings *mappings)
{
    uint64_t frames[STACK_FRAMES];
    struct stack_frame parts[STACK_FRAMES];
    struct trail *trail = &callsites->trail;
    size_t count = 0;
    for (size_t i = count_wrappers(trail, call, mappings); i < trail->count && count < STACK_FRAMES; i++) {
        const struct mapped *file = mappings_find(mappings, trail->ips[i] - 1);
        if (file != NULL && file->left_out)
            continue;
        bool shown = file != NULL && file->module != MODULE_NONE;
        parts[count].key = file != NULL ? file->key : 0;
        parts[count].offset = shown ? trail->ips[i] - file->bias : 0;
        frames[count] = (uint64_t)(shown ? file->module : MODULE_NONE) << 48 | frame_offset(parts[count].offset);
        count++;
    }
    uint64_t id = stack_id(call, parts, count);
    if (!trail->partial || count == STACK_FRAMES)
        return stack_put(callsites->board, id, call, frames, count);
    return stack_put_partial(callsites->board, stack_id_partial(id), call, frames, count);
}

/* Keeps in words why the stack of CALL can't be walked: of the first one. */
static void note_fault(struct callsites *callsites, const struct notified *call)
{
    if (atomic_load(&callsites->faulty))
        return;
    int length =
        snprintf(callsites->fault, sizeof callsites->fault, "%d (%s): ", (int)call->process->pid, call->process->comm);
    registers_fault(call->thread->tid, callsites->fault + length, sizeof callsites->fault - (size_t)length);
    atomic_fetch_add(&callsites->board->no_unwinder, 1);
    atomic_store(&callsites->faulty, true);
}

const char *callsites_fault(struct callsites *callsites)
{
    return atomic_load(&callsites->faulty) ? callsites->fault : NULL;
}

/* Walks the stack of CALL, whose thread is held with REGISTERS; what is found is for the call that the thread makes anew. */
static void walk_held(struct callsites *callsites, struct notified *call, const struct user_regs_struct *registers)
{
    struct walked *walked = &call->thread->walked;
    struct mappings *mappings = mappings_read(call->process->pid, callsites->board);
    *walked =
        (struct walked){.data = call->notif.data, .sp = REGISTERS_SP(registers), .stack = STACK_NONE, .valid = true};
    if (mappings != NULL && stackwalk_walk(call->thread->tid, call->call, mappings, registers, &callsites->trail)) {
        walked->stack = put_stack(callsites, call->call, mappings);
        if (walked->stack != STACK_NONE)
            keep(callsites, call, walked->stack, mappings);
    }
    mappings_free(mappings);
}

/*
 * Walks the stack of CALL, which is lost by that.  Returns true if it can't be done, and the call is ours still.
 */
static bool walk(struct callsites *callsites, struct notified *call, uint64_t sp)
{
    struct user_regs_struct registers;
    pid_t tid = call->thread->tid;
    if (registers_hold(tid, &registers) != 0) {
        bool forbidden = errno == EPERM && notified_is_valid(call); /* one that ends may not be traced either */
        if (forbidden)
            note_fault(callsites, call);
        return forbidden;
    }
    if (REGISTERS_SP(&registers) == sp && REGISTERS_PC(&registers) == call->notif.data.instruction_pointer)
        walk_held(callsites, call, &registers);
    registers_release(tid); /* or it was in a handler already, and comes again from there, if it does */
    return false;
}

/* Whether the stack of CALL was just walked, and is the one that WALKED says. */
static bool is_walked(const struct walked *walked, const struct notified *call, uint64_t sp)
{
    return walked->valid && walked->sp == sp && memcmp(&walked->data, &call->notif.data, sizeof walked->data) == 0;
}

bool callsite_find(struct notified *call)
{
    struct callsites *callsites = call->supervisor->callsites;
    struct walked walked = call->thread->walked;
    uint64_t sp = call->process->image != NULL ? read_sp(call) : 0;
    call->thread->walked.valid = false;
    call->sp = sp;
    call->stack = sp != 0 ? find_known(callsites, call, sp) : NULL;
    if (call->stack != NULL || call->process->image == NULL)
        return true;
    if (sp == 0)
        return notified_is_valid(call);
    if (is_walked(&walked, call, sp)) {
        call->stack = walked.stack != STACK_NONE ? board_stack(callsites->board, walked.stack) : NULL;
        return true;
    }
    return notified_is_valid(call) && walk(callsites, call, sp);
}

bool callsite_is_same(const struct notified *held, const struct seccomp_notif *notif)
{
    struct notified again = {.supervisor = held->supervisor, .thread = held->thread, .notif = *notif};
    return held->sp == 0 || read_sp(&again) == held->sp;
}

bool callsite_is_resolved(const struct notified *call)
{
    return call->stack == NULL || stack_refresh(call->supervisor->board, call->stack);
}
