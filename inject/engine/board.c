#include "board.h"

#include <errno.h>
#include <string.h>

/* Everything starts on a line of its own. */
static uint64_t align_line(uint64_t offset)
{
    return (offset + 63) & ~UINT64_C(63);
}

/* What has memory or not by itself starts on a page of its own. */
static uint64_t align_page(uint64_t offset)
{
    return (offset + 4095) & ~UINT64_C(4095);
}

/* Where the parts are: the same for every board of this build, so that a board can be checked by comparing. */
static void lay_out(struct board *board, uint32_t ring_count)
{
    board->rules_at = align_line(sizeof *board);
    board->tallies_at = align_line(board->rules_at + (uint64_t)PLANS * RULE_MAX * sizeof(struct rule));
    board->strings_at = align_line(board->tallies_at + TALLY_MAX * sizeof(struct tally));
    board->modules_at = align_page(board->strings_at + (uint64_t)PLANS * BOARD_STRINGS);
    board->stacks_at = align_page(board->modules_at + MODULE_MAX * sizeof(struct module));
    board->ranges_at = align_page(board->stacks_at + STACK_MAX * sizeof(struct stack));
    board->site_ordinals_at = align_page(board->ranges_at + RANGE_MAX * sizeof(struct range));
    board->rings_at = align_page(board->site_ordinals_at + (uint64_t)RULE_MAX * STACK_MAX * sizeof(uint64_t));
    board->ring_count = ring_count;
    board->size = board->rings_at + ring_count * sizeof(struct ring);
}

size_t board_size(void)
{
    struct board board = {0};
    lay_out(&board, BOARD_RINGS);
    return board.size;
}

size_t board_sites_at(void)
{
    struct board board = {0};
    lay_out(&board, BOARD_RINGS);
    return board.modules_at;
}

/* Calls that free descriptors matter to rules that count by descriptor and to those that run out of them. */
static void add_wanted(unsigned char wanted[256], const struct rule *rule)
{
    for (enum call call = 0; call < CALL_COUNT; call++)
        if (rule_names(rule, call))
            wanted[call] |= rule->filters & IF_FD ? WANT_RULE : WANT_RULE | WANT_ANY_FD;
    /* accept4's EINVAL is said again to the accept that a program falls back to. */
    if (rule_names(rule, CALL_accept4) && (rule->actions & ACT_FAIL) && rule->error == EINVAL)
        wanted[CALL_accept] |= WANT_RULE;
    if (rule_exhausts(rule) || rule->scope == PER_FD) {
        wanted[CALL_close] |= WANT_FREES;
        wanted[CALL_dup2] |= WANT_FREES;
        wanted[CALL_dup3] |= WANT_FREES;
        wanted[WANTED_FREES] |= WANT_FREES;
    }
}

bool board_call_breaks(enum call call)
{
    static const enum call breaks[] = {CALL_listen,     CALL_close,       CALL_dup2,        CALL_dup3,
                                       CALL_poll,       CALL_ppoll,       CALL_select,      CALL_pselect,
                                       CALL_epoll_wait, CALL_epoll_pwait, CALL_epoll_pwait2};
    for (size_t i = 0; i < sizeof breaks / sizeof breaks[0]; i++)
        if (breaks[i] == call)
            return true;
    return false;
}

enum { WANTED_BY_PLAN = WANT_RULE | WANT_FREES | WANT_BREAK | WANT_ANY_FD };

static void plan_wanted(unsigned char wanted[256], const struct rule_set *set)
{
    memset(wanted, 0, 256);
    for (uint32_t i = 0; i < set->count; i++)
        add_wanted(wanted, &set->rules[i]);
    for (enum call call = 0; call < CALL_COUNT && (wanted[CALL_accept] & WANT_RULE); call++)
        if (board_call_breaks(call))
            wanted[call] |= WANT_BREAK;
}

/*
 * The bits of board->wanted are read while they are written: each is stored once, as it will be.  In a session with call
 * sites, what has records has them.
 */
static void set_wanted(struct board *board, unsigned call, unsigned bits)
{
    unsigned char *wanted = &board->wanted[call];
    bits &= ~(unsigned)WANT_SITE;
    if (board->sites && (bits & (WANT_RULE | WANT_RECORD)))
        bits |= WANT_SITE;
    if (*wanted != bits)
        __atomic_store_n(wanted, (unsigned char)bits, __ATOMIC_RELAXED);
}

static void watch(unsigned char *wanted, bool on)
{
    __atomic_store_n(wanted, (unsigned char)(on ? *wanted | WANT_READY : *wanted & ~WANT_READY), __ATOMIC_RELAXED);
}

void board_watch_ready(struct board *board, bool on)
{
    static const enum call watched[] = {CALL_listen,     CALL_accept,      CALL_accept4,      CALL_poll,
                                        CALL_ppoll,      CALL_select,      CALL_pselect,      CALL_epoll_ctl,
                                        CALL_epoll_wait, CALL_epoll_pwait, CALL_epoll_pwait2, CALL_close,
                                        CALL_fcntl,      CALL_dup,         CALL_dup2,         CALL_dup3};
    for (size_t i = 0; i < sizeof watched / sizeof watched[0]; i++)
        watch(&board->wanted[watched[i]], on);
    watch(&board->wanted[WANTED_FREES], on);
}

/* A place in the strings of a plan, as it is on the board. */
static uint32_t string_at(uint32_t offset, uint32_t stamp)
{
    return offset == STRING_NONE ? STRING_NONE : offset + stamp % PLANS * BOARD_STRINGS;
}

/* Writes SET where the plan with STAMP goes.  Byte 0 of each strings stays 0, and so does the very last. */
static void write_plan(struct board *board, uint32_t stamp, const struct rule_set *set)
{
    struct rule *rules = board_rules(board, stamp);
    memcpy(rules, set->rules, set->count * sizeof set->rules[0]);
    for (uint32_t i = 0; i < set->count; i++) {
        uint32_t *strings[] = {&rules[i].path, &rules[i].comm, &rules[i].thread, &rules[i].label, &rules[i].text};
        for (size_t j = 0; j < sizeof strings / sizeof strings[0]; j++)
            *strings[j] = string_at(*strings[j], stamp);
    }
    memcpy((char *)board + board->strings_at + (size_t)(stamp % PLANS) * BOARD_STRINGS, set->strings,
           set->strings_size);
    board->rule_counts[stamp % PLANS] = set->count;
}

static bool fits(const struct rule_set *set)
{
    return set->count <= RULE_MAX && set->strings_size <= BOARD_STRINGS && set->pattern_count <= PATTERN_MAX;
}

/* Makes RULE's tally one that has counted nothing, if it was another rule's. */
static void take_tally(struct board *board, const struct rule *rule)
{
    struct tally *tally = board_tally(board, rule->tally);
    uint64_t tag = tally_tag(rule->serial);
    if (rule->serial == 0 || atomic_load(&tally->matched) >> TALLY_BITS == tag >> TALLY_BITS)
        return;
    atomic_store(&tally->matched, tag);
    atomic_store(&tally->injected, tag);
    atomic_store(&tally->missed, tag);
    atomic_store(&tally->yielded, tag);
}

int board_publish(struct board *board, const struct rule_set *set)
{
    unsigned char wanted[256];
    uint32_t stamp = atomic_load_explicit(&board->plan_stamp, memory_order_relaxed) + 1;
    if (!fits(set))
        return -1;
    plan_wanted(wanted, set);
    atomic_store_explicit(&board->plan_next, stamp, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst); /* who sees anything of what comes now sees plan_next too */
    for (uint32_t i = 0; i < set->count; i++)
        take_tally(board, &set->rules[i]);
    write_plan(board, stamp, set);
    for (unsigned i = 0; i < sizeof wanted; i++)
        set_wanted(board, i, board->wanted[i] | wanted[i]);
    atomic_store_explicit(&board->plan_stamp, stamp, memory_order_seq_cst);
    for (unsigned i = 0; i < sizeof wanted; i++)
        set_wanted(board, i, (board->wanted[i] & ~(unsigned)WANTED_BY_PLAN) | wanted[i]);
    return 0;
}

struct board *board_make(void *memory, size_t size, const struct rule_set *set, uint64_t start_ns)
{
    struct board *board = memory;
    lay_out(board, BOARD_RINGS);
    if (size < board->size || !fits(set))
        return NULL;
    board->format = BOARD_FORMAT;
    board->header_size = sizeof *board;
    board->seed = set->seed;
    board->start_ns = start_ns;
    board->sites = set->sites;
    atomic_store(&board->pattern_count, set->pattern_count);
    write_plan(board, 0, set);
    for (uint32_t i = 0; i < set->count; i++) {
        board_rules(board, 0)[i].slot = i;
        board_rules(board, 0)[i].number = set->rules[i].tally + 1;
    }
    plan_wanted(board->wanted, set);
    atomic_store(&board_ring(board, RING_SHARED)->owner, 1);
    atomic_thread_fence(memory_order_release);
    board->magic = BOARD_MAGIC;
    return board;
}

/* Strings are read with no length, so each must end inside the area; the area's last byte is checked to be 0. */
static bool rule_in_bounds(const struct board *board, const struct rule *rule)
{
    const uint32_t strings[] = {rule->path, rule->comm, rule->thread, rule->label, rule->text};
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++)
        if (strings[i] >= PLANS * BOARD_STRINGS)
            return false;
    if ((rule->filters & IF_CALLER) && rule->caller_pattern >= board->pattern_count)
        return false;
    if ((rule->filters & IF_STACK) && rule->stack_pattern >= board->pattern_count)
        return false;
    if (rule_needs_site(rule) && !board->sites)
        return false;
    return rule->tally < TALLY_MAX && rule->slot < RULE_MAX && rule->scope <= PER_SITE;
}

static bool terminated(const char *text, size_t size)
{
    return memchr(text, 0, size) != NULL;
}

const char *board_fault(const void *memory, size_t size)
{
    const struct board *board = memory;
    struct board expected = {0};
    if (size < sizeof *board)
        return "truncated";
    if (board->magic != BOARD_MAGIC)
        return "not a board";
    if (board->format != BOARD_FORMAT || board->header_size != sizeof *board)
        return "made by another version of snag";
    if (board->ring_count == 0 || board->ring_count > BOARD_RINGS)
        return "damaged: number of rings";
    lay_out(&expected, board->ring_count);
    if (board->rules_at != expected.rules_at || board->tallies_at != expected.tallies_at ||
        board->strings_at != expected.strings_at || board->rings_at != expected.rings_at ||
        board->modules_at != expected.modules_at || board->stacks_at != expected.stacks_at ||
        board->ranges_at != expected.ranges_at || board->site_ordinals_at != expected.site_ordinals_at ||
        board->size != expected.size)
        return "damaged: offsets";
    if (board->size > size)
        return "truncated";
    if (board->pattern_count > PATTERN_MAX || board->lease_at > sizeof *board - sizeof(uint32_t) ||
        board->lease_at % sizeof(uint32_t) != 0)
        return "damaged: counts";
    for (uint32_t i = 0; i < PLANS; i++)
        if (board->rule_counts[i] > RULE_MAX)
            return "damaged: counts";
    const char *base = memory;
    if (base[board->strings_at] != 0 || base[board->strings_at + (uint64_t)PLANS * BOARD_STRINGS - 1] != 0 ||
        !terminated(board->board_path, sizeof board->board_path) ||
        !terminated(board->shim_path, sizeof board->shim_path))
        return "damaged: strings";
    for (uint32_t plan = 0; plan < PLANS; plan++)
        for (uint32_t i = 0; i < board->rule_counts[plan]; i++)
            if (!rule_in_bounds(board,
                                (const struct rule *)(const void *)(base + board->rules_at) + plan * RULE_MAX + i))
                return "damaged: a rule";
    return NULL;
}
