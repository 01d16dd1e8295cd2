#include "site.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>

#include "loader.h"
#include "memory.h"
#include "module.h"
#include "raw.h"
#include "session.h"
#include "unwind.h"

enum {
    BUCKETS = 4096,
    PROBES_MAX = 32,    /* stacks of a bucket that are looked at */
    RECENT_SETS = 8192, /* powers of two, both */
    RECENT_WAYS = 8,
    ARENA = 8 << 20,       /* bytes for trails, of which only what is used takes memory */
    STACK_ROOM = 16 << 10, /* bytes that a walk may need: four times what was measured */
    GROWS_MAX = 8 << 20,   /* bytes of the first thread's stack that are taken for granted: the usual limit */
    PAGE = 4096,
    RESOLVE_POLL_NS = 500000,
};

#define LOCK_PATIENCE_NS UINT64_C(1000000000)
#define RESOLVE_PATIENCE_NS UINT64_C(10000000000)

/* A stack that was walked.  Written once, but for `dead`. */
struct known {
    uint32_t next;       /* in its bucket: a place in the arena, plus 1; 0: the last */
    uint32_t next_equal; /* of those with the same hash, for who walks */
    uint16_t call, count;
    uint32_t stack; /* on the board */
    uint32_t hash;  /* of call and steps */
    _Atomic uint32_t dead;
    struct step steps[];
};

_Static_assert(BUCKETS == 1 << 12 && RECENT_SETS == 1 << 13, "as mix() is cut");
_Static_assert(sizeof(struct known) % 8 == 0 && sizeof(struct step) % 8 == 0, "places count eights");

static unsigned char *arena; /* NULL: no call sites here */
static size_t arena_used;

/*
 * Where `known` is found, as places plus 1.  One call place may be reached by any number of stacks (alloca, recursion, code
 * made at run time), and only the stacks that are known say where on this one to look.  So those are looked at first that
 * were found with the frame at this very address, then the newest few that begin with this return address; what is not
 * among them is walked again, and then found by what the walk says (`equals`, for who holds the lock).
 */
static _Atomic uint32_t recent[RECENT_SETS][RECENT_WAYS]; /* by call, innermost return address, and frame address */
static _Atomic uint32_t buckets[BUCKETS];                 /* by call and innermost return address, the newest first */
static uint32_t equals[BUCKETS];                          /* by hash */

static uintptr_t top; /* of the stack that the kernel made: an address near its end */

static _Atomic uint32_t lock; /* thread id of who walks, 0 for nobody */

/* --- Stacks that are known. */

static uint64_t word_at(const void *frame, int32_t place)
{
    uint64_t word;
    memcpy(&word, (const char *)frame + place, sizeof word);
    return word;
}

/* Whether the stack that FRAME is on holds what KNOWN says, from the inside out: each step tells where the next one is. */
static bool leads_here(const struct known *known, const void *frame)
{
    for (uint32_t i = 0; i < known->count; i++) {
        const struct step *step = &known->steps[i];
        if (word_at(frame, step->ip_at) != step->ip)
            return false;
        if (step->fp_at != FP_UNKNOWN &&
            word_at(frame, step->fp_at) != (uint64_t)((uintptr_t)frame + (uint64_t)step->fp))
            return false;
    }
    return true;
}

/* Neighbouring words, as the frames of one place are, spread evenly over the top bits: these make an index. */
static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

static _Atomic uint32_t *bucket_of(enum call call, uint64_t ip)
{
    return &buckets[mix(call, ip) >> 52];
}

/* The innermost return address of the stack that FRAME is on. */
static uint64_t innermost(const void *frame)
{
    return word_at(frame, sizeof(uint64_t));
}

static _Atomic uint32_t *recent_set(enum call call, const void *frame)
{
    return recent[mix(mix(call, innermost(frame)), (uintptr_t)frame) >> 51];
}

static struct known *known_at(uint32_t place)
{
    return (struct known *)(void *)(arena + (size_t)(place - 1) * 8);
}

static bool is_stack_of(const struct known *known, enum call call, const void *frame)
{
    return known->call == call && leads_here(known, frame) && !atomic_load_explicit(&known->dead, memory_order_relaxed);
}

/* Notes that PLACE was found with FRAME where it is: instead of one that was not, or of any other. */
static void note_recent(enum call call, const void *frame, uint32_t place)
{
    static _Atomic uint32_t turn;
    _Atomic uint32_t *set = recent_set(call, frame);
    uint32_t way = 0;
    while (way < RECENT_WAYS && atomic_load_explicit(&set[way], memory_order_relaxed))
        way++;
    if (way == RECENT_WAYS)
        way = atomic_fetch_add_explicit(&turn, 1, memory_order_relaxed) % RECENT_WAYS;
    atomic_store_explicit(&set[way], place, memory_order_release);
}

static uint32_t find_recent(enum call call, const void *frame)
{
    _Atomic uint32_t *set = recent_set(call, frame);
    for (uint32_t way = 0; way < RECENT_WAYS; way++) {
        uint32_t place = atomic_load_explicit(&set[way], memory_order_acquire);
        if (place == 0)
            break;
        if (is_stack_of(known_at(place), call, frame))
            return place;
    }
    return 0;
}

static uint32_t find_in_bucket(enum call call, const void *frame)
{
    uint32_t place = atomic_load_explicit(bucket_of(call, innermost(frame)), memory_order_acquire);
    for (uint32_t probes = 0; place && probes < PROBES_MAX; probes++) {
        if (is_stack_of(known_at(place), call, frame)) {
            note_recent(call, frame, place);
            return place;
        }
        place = known_at(place)->next;
    }
    return 0;
}

static struct stack *find_known(enum call call, const void *frame)
{
    uint32_t place = find_recent(call, frame);
    if (!place)
        place = find_in_bucket(call, frame);
    return place ? board_stack(snag_board, known_at(place)->stack) : NULL;
}

static size_t known_size(size_t steps)
{
    return sizeof(struct known) + steps * sizeof(struct step);
}

static uint32_t hash_of(enum call call, const struct trail *trail)
{
    uint64_t hash = call;
    for (size_t i = 0; i < trail->count; i++) {
        const struct step *step = &trail->steps[i];
        hash = mix(hash, step->ip);
        hash = mix(hash, (uint64_t)(uint32_t)step->ip_at << 32 | (uint32_t)step->fp_at);
        hash = mix(hash, (uint64_t)step->fp);
    }
    return (uint32_t)hash;
}

static bool is_same_way(const struct known *known, uint32_t hash, enum call call, const struct trail *trail)
{
    return known->hash == hash && known->call == call && known->count == trail->count &&
           memcmp(known->steps, trail->steps, trail->count * sizeof trail->steps[0]) == 0 &&
           !atomic_load_explicit(&known->dead, memory_order_relaxed);
}

/* The place of the way that TRAIL is, which was known and was not found; 0: it is new. */
static uint32_t find_equal(uint32_t hash, enum call call, const struct trail *trail)
{
    uint32_t place = equals[hash % BUCKETS];
    while (place && !is_same_way(known_at(place), hash, call, trail))
        place = known_at(place)->next_equal;
    return place;
}

/* Adds the way to STACK.  Returns its place; 0 without room. */
static uint32_t add_known(uint32_t hash, enum call call, uint32_t stack, const struct trail *trail)
{
    size_t size = known_size(trail->count);
    if (size > ARENA - arena_used)
        return 0;
    uint32_t place = (uint32_t)(arena_used / 8) + 1;
    struct known *known = known_at(place);
    _Atomic uint32_t *bucket = bucket_of(call, trail->steps[0].ip);
    known->call = (uint16_t)call;
    known->count = (uint16_t)trail->count;
    known->stack = stack;
    known->hash = hash;
    memcpy(known->steps, trail->steps, trail->count * sizeof trail->steps[0]);
    known->next = atomic_load_explicit(bucket, memory_order_relaxed);
    known->next_equal = equals[hash % BUCKETS];
    arena_used += size; /* before it is found: a child that is forked in between must not use the room again */
    equals[hash % BUCKETS] = place;
    atomic_store_explicit(bucket, place, memory_order_release);
    return place;
}

/* Keeps the way to STACK from FRAME.  Without room, or where it can't be known again, each call will walk. */
static void keep(enum call call, uint32_t stack, const struct trail *trail, const void *frame)
{
    if (!trail->lasting)
        return;
    uint32_t hash = hash_of(call, trail), place = find_equal(hash, call, trail);
    if (!place)
        place = add_known(hash, call, stack, trail);
    if (place)
        note_recent(call, frame, place);
}

/* --- One at a time. */

static uint32_t own_tid(void)
{
    return (uint32_t)raw2(SYS_gettid, 0, 0);
}

/* Whether thread TID is one of this process: not so in a child that was forked while it walked. */
static bool is_our_thread(uint32_t tid)
{
    return raw3(SYS_tgkill, raw2(SYS_getpid, 0, 0), (long)tid, 0) == 0;
}

/* Waits for who walks, which takes microseconds.  Returns false where it would be for ever. */
static bool take_lock(void)
{
    uint32_t tid = own_tid(), holder = 0;
    uint64_t end = 0;
    while (!atomic_compare_exchange_strong(&lock, &holder, tid)) {
        struct timespec moment = {.tv_nsec = 1000000};
        uint64_t now = session_now();
        end = end ? end : now + LOCK_PATIENCE_NS;
        if (holder == tid || now > end || !is_our_thread(holder))
            return false;
        snag_raw(SYS_futex, raw_pointer(&lock), FUTEX_WAIT_PRIVATE, (long)holder, raw_pointer(&moment), 0, 0);
        holder = 0;
    }
    return true;
}

static void release_lock(void)
{
    atomic_store(&lock, 0);
    raw3(SYS_futex, raw_pointer(&lock), FUTEX_WAKE_PRIVATE, 1);
}

/* What was set before nothing might interrupt this thread. */
struct quiet {
    uint64_t signals;
    int cancel;
};

/*
 * Blocks all signals.  That by which libc cancels a thread comes all the same: libunwind blocks signals too, by
 * sigprocmask(), which unblocks that one.  So the thread also asks to be cancelled at cancellation points alone, of which
 * there are none here.  (Not to be cancelled at all would do as well, but glibc 2.36 loses what the thread returns then.)
 */
static struct quiet be_quiet(void)
{
    struct quiet before = {0};
    uint64_t all = UINT64_MAX;
    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &before.cancel);
    snag_raw(SYS_rt_sigprocmask, SIG_SETMASK, raw_pointer(&all), raw_pointer(&before.signals), sizeof all, 0, 0);
    return before;
}

/* A cancellation that came meanwhile ends the thread here, if it needs no cancellation point. */
static void end_quiet(const struct quiet *before)
{
    snag_raw(SYS_rt_sigprocmask, SIG_SETMASK, raw_pointer(&before->signals), 0, sizeof before->signals, 0, 0);
    pthread_setcanceltype(before->cancel, NULL);
}

/*
 * A fork waits until nobody walks, so that the child finds libunwind as it should be.  The lock is held meanwhile, by this
 * thread, which is the one that the child has.  A signal handler may fork in the middle of that: the lock is the outer
 * one's.
 */
static __thread unsigned forks; /* under way in this thread */
static __thread bool fork_has_lock;

static void before_fork(void)
{
    if (forks++ == 0)
        fork_has_lock = take_lock();
}

static void after_fork(void)
{
    if (forks == 1 && fork_has_lock)
        release_lock();
    forks--;
}

/* --- New stacks. */

/* Whether the page of ADDRESS can be read, as in unwind.c. */
static bool is_readable(uintptr_t address)
{
    return snag_raw(SYS_rt_sigprocmask, -1, (long)(address & ~(uintptr_t)7), 0, 8, 0, 0) != -EFAULT;
}

/* Whether HERE is on the stack that the kernel made, which grows by itself down to its limit. */
static bool is_growing(uintptr_t here)
{
    return here < top && top - here < GROWS_MAX;
}

/* Whether there is room for a walk, on a handler's stack, a thread's, or one that a program switches to. */
static bool has_room(void)
{
    stack_t alternate = {.ss_flags = SS_DISABLE};
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    raw2(SYS_sigaltstack, 0, raw_pointer(&alternate));
    if (alternate.ss_flags & SS_ONSTACK)
        return here - (uintptr_t)alternate.ss_sp >= STACK_ROOM;
    if (is_growing(here))
        return true;
    for (uintptr_t below = PAGE; below <= STACK_ROOM; below += PAGE)
        if (!is_readable(here - below))
            return false;
    return true;
}

/* Puts the stack of CALL that TRAIL leads through on the board, or finds it there; and cuts TRAIL to what is needed. */
static uint32_t put_stack(enum call call, struct trail *trail)
{
    static uint64_t frames[STACK_FRAMES];
    static struct stack_frame parts[STACK_FRAMES];
    size_t count = 0;
    for (size_t i = 0; i < trail->count; i++) {
        struct place place = module_place(trail->steps[i].ip - 1);
        if (place.left_out)
            continue;
        parts[count] = (struct stack_frame){place.key, place.module == MODULE_NONE ? 0 : place.offset + 1};
        frames[count] = (uint64_t)place.module << 48 | parts[count].offset;
        if (++count == STACK_FRAMES)
            trail->count = i + 1;
    }
    return stack_put(snag_board, stack_id(call, parts, count), call, frames, count);
}

static struct stack *walk(enum call call, const void *frame)
{
    static struct trail trail;
    struct stack *stack = find_known(call, frame); /* another thread may have come the same way meanwhile */
    if (stack)
        return stack;
    if (!unwind_walk(frame, &trail))
        return NULL;
    uint32_t index = put_stack(call, &trail);
    if (index == STACK_NONE)
        return NULL;
    keep(call, index, &trail, frame);
    return board_stack(snag_board, index);
}

static struct stack *walk_alone(enum call call, const void *frame)
{
    struct stack *stack = NULL;
    session_process(); /* a forked child begins here, at the latest */
    if (session_in_vfork_child() || !has_room())
        return NULL;
    int error = errno;
    struct quiet before = be_quiet();
    if (take_lock()) {
        stack = walk(call, frame);
        release_lock();
    }
    errno = error;
    end_quiet(&before);
    return stack;
}

struct stack *site_of(enum call call, const void *frame)
{
    struct stack *stack = NULL;
    if (arena)
        stack = find_known(call, frame);
    if (arena && !stack && !snag_filtered) /* a walk makes system calls, which a filter may kill for */
        stack = walk_alone(call, frame);
    if (!stack)
        atomic_fetch_add_explicit(&snag_board->unwalked, 1, memory_order_relaxed);
    return stack;
}

uint32_t site_index(const struct stack *stack)
{
    return (uint32_t)(stack - board_stack(snag_board, 0));
}

/* --- Unloading. */

static bool leads_through(const struct known *known, uintptr_t start, uintptr_t end)
{
    for (uint32_t i = 0; i < known->count; i++)
        if (start <= known->steps[i].ip && known->steps[i].ip <= end)
            return true;
    return false;
}

static void forget(uintptr_t start, uintptr_t end)
{
    for (size_t at = 0; at < arena_used;) {
        struct known *known = (struct known *)(void *)(arena + at);
        if (leads_through(known, start, end))
            atomic_store_explicit(&known->dead, 1, memory_order_relaxed);
        at += known_size(known->count);
    }
}

void site_forget_unloaded(void)
{
    if (!arena || session_in_vfork_child())
        return;
    struct quiet before = be_quiet();
    if (take_lock()) {
        module_sweep(forget);
        release_lock();
    }
    end_quiet(&before);
}

/* --- The beginning. */

/* Rules that ask for functions act from the first call on: snag looks them up while we wait. */
static void await_resolution(void)
{
    uint64_t end = session_now() + RESOLVE_PATIENCE_NS;
    while (!module_all_resolved() && board_alive(snag_board) && session_now() < end) {
        struct timespec moment = {.tv_nsec = RESOLVE_POLL_NS};
        raw2(SYS_nanosleep, raw_pointer(&moment), 0);
    }
}

void site_begin(void)
{
    if (!snag_board->sites)
        return;
    unsigned char *memory = session_map(ARENA);
    bool can = memory && module_begin();
    if (can)
        module_register_all(); /* before libunwind is one of them */
    if (!can || !unwind_begin()) {
        atomic_fetch_add(&snag_board->no_unwinder, 1);
        return;
    }
    top = (uintptr_t)getauxval(AT_RANDOM);
    arena = memory;
    loader_at_fork(before_fork, after_fork, after_fork);
    await_resolution();
}
