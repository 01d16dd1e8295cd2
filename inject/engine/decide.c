/*
 * Order matters here and is a promise (the plan language states it): filters, then the ordinal of every matching rule,
 * also of those behind the one that acts, then when, prob, times; the first rule that triggers acts.
 */
#include "decide.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Filters with more to remember than the usual call should make room for on its stack. */
#define RARE __attribute__((noinline))

/* What an injected errno does to CALL, by its row in calls.def; queue= overrules that for accepts. */
static enum call_effect effect_on(const struct rule *rule, enum call call)
{
    if (call_info(call)->class == OF_ACCEPT && rule->queue != QUEUE_AS_KERNEL)
        return rule->queue == QUEUE_DROP ? CONSUMES : KEEPS;
    const struct call_errno *row = call_errno(call, rule->error);
    return row ? row->effect : KEEPS;
}

void rule_set_effects(struct rule *rule)
{
    memset(rule->consumes, 0, sizeof rule->consumes);
    memset(rule->overrules, 0, sizeof rule->overrules);
    for (enum call call = 0; call < CALL_COUNT; call++) {
        if (!rule_names(rule, call) || !(rule->actions & ACT_FAIL))
            continue;
        enum call_effect effect = effect_on(rule, call);
        if (effect == CONSUMES)
            calls_add(rule->consumes, call);
        if (effect == ACTS)
            calls_add(rule->overrules, call);
    }
}

bool rule_when(const struct rule *rule, uint32_t ordinal)
{
    if (ordinal < rule->first || ordinal > rule->last)
        return false;
    if (rule->step <= 1) /* the usual case, and a division is what it would cost */
        return rule->step == 1 || ordinal == rule->first;
    return (ordinal - rule->first) % rule->step == 0;
}

/* The finalizer of splitmix64: every input bit reaches every output bit. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

uint64_t rule_draw(uint64_t seed, uint32_t rule, uint32_t ordinal)
{
    return mix(mix(seed + UINT64_C(0x9e3779b97f4a7c15)) ^ ((uint64_t)rule << 32 | ordinal));
}

/* Matches one character of TEXT against the set at GLOB ("[a-z]"); sets *END behind the set.  An unclosed '[' is a
 * plain character. */
static bool match_set(const char *glob, char c, const char **end)
{
    const char *p = glob + 1;
    bool negated = *p == '!' || *p == '^', found = false;
    p += negated;
    do {
        if (*p == 0) {
            *end = glob + 1;
            return c == '[';
        }
        char low = *p++, high = low;
        if (p[0] == '-' && p[1] != 0 && p[1] != ']') {
            high = p[1];
            p += 2;
        }
        found |= (unsigned char)low <= (unsigned char)c && (unsigned char)c <= (unsigned char)high;
    } while (*p != ']');
    *end = p + 1;
    return found != negated;
}

/* Matches one character of TEXT against the element at GLOB (not '*'); sets *END behind it. */
static bool match_one(const char *glob, char c, const char **end)
{
    *end = glob + 1;
    if (*glob == '?')
        return true;
    if (*glob == '[')
        return match_set(glob, c, end);
    if (*glob == '\\' && glob[1] != 0) {
        *end = glob + 2;
        return glob[1] == c;
    }
    return *glob == c;
}

/* Only the last '*' is ever gone back to, which is enough: what an earlier one could match, it can match too. */
bool glob_match(const char *glob, const char *text)
{
    const char *star = NULL, *star_text = NULL, *next;
    while (*text) {
        if (*glob == '*') {
            star = ++glob;
            star_text = text;
        } else if (*glob && match_one(glob, *text, &next)) {
            glob = next;
            text++;
        } else if (star) {
            glob = star;
            text = ++star_text;
        } else {
            return false;
        }
    }
    while (*glob == '*')
        glob++;
    return *glob == 0;
}

static bool local_matches(const struct rule_address *wanted, const struct scene_address *own)
{
    size_t length = wanted->family == AF_INET ? 4 : 16;
    return wanted->family == own->family && memcmp(wanted->bytes, own->bytes, length) == 0 &&
           (wanted->port == 0 || wanted->port == own->port);
}

RARE static bool address_matches(struct board *board, const struct rule *rule, const struct scene *scene)
{
    struct scene_address own = {0};
    scene->ops->address(scene, &own);
    bool internet = own.family == AF_INET || own.family == AF_INET6;
    if ((rule->filters & IF_TYPE) && own.family != rule->type)
        return false;
    if ((rule->filters & IF_PORT) && !(internet && own.port == rule->port))
        return false;
    if ((rule->filters & IF_LOCAL) && !local_matches(&rule->local, &own))
        return false;
    return !(rule->filters & IF_PATH) ||
           (own.family == AF_UNIX && glob_match(board_string(board, rule->path), own.path));
}

RARE static bool window_matches(struct board *board, const struct rule *rule, const struct scene *scene)
{
    uint64_t from = rule->after_start ? board->start_ns : atomic_load_explicit(&board->ready_ns, memory_order_relaxed);
    if (from == 0)
        return false;
    uint64_t since = scene->ops->now(scene) - from;
    return since >= rule->after_ns && since - rule->after_ns < rule->for_ns;
}

RARE static bool names_match(struct board *board, const struct rule *rule, const struct scene *scene)
{
    char name[16];
    if (rule->filters & IF_COMM) {
        scene->ops->comm(scene, name);
        if (!glob_match(board_string(board, rule->comm), name))
            return false;
    }
    if (rule->filters & IF_THREAD) {
        scene->ops->thread(scene, name);
        return glob_match(board_string(board, rule->thread), name);
    }
    return true;
}

RARE static bool site_matches(struct board *board, const struct rule *rule, const struct scene *scene)
{
    struct stack *stack = scene->ops->site(scene);
    if (!stack)
        return false;
    if ((rule->filters & IF_SITE) && atomic_load_explicit(&stack->id, memory_order_relaxed) != rule->site)
        return false;
    if (!(rule->filters & (IF_CALLER | IF_STACK)))
        return true;
    if (!stack_refresh(board, stack))
        atomic_fetch_add_explicit(&board->unresolved, 1, memory_order_relaxed);
    if ((rule->filters & IF_CALLER) && !stack_caller_matches(stack, rule->caller_pattern))
        return false;
    return !(rule->filters & IF_STACK) || stack_matches(stack, rule->stack_pattern);
}

/* All filters of RULE, the cheap ones first; `pending` last, for it is a system call and the answer goes stale. */
static bool rule_matches(struct board *board, const struct rule *rule, const struct scene *scene)
{
    uint32_t filters = rule->filters;
    if (!rule_names(rule, scene->call))
        return false;
    if ((rule->actions & (ACT_SOCKLEN | ACT_FAMILY)) && !scene->has_address)
        return false;
    if (filters == 0)
        return true;
    if ((filters & IF_FD) && rule->fd != scene->fd)
        return false;
    if ((filters & IF_WINDOW) && !window_matches(board, rule, scene))
        return false;
    if ((filters & (IF_COMM | IF_THREAD)) && !names_match(board, rule, scene))
        return false;
    if ((filters & (IF_TYPE | IF_PORT | IF_LOCAL | IF_PATH)) && !address_matches(board, rule, scene))
        return false;
    if ((filters & (IF_CALLER | IF_STACK | IF_SITE)) && !site_matches(board, rule, scene))
        return false;
    return !(filters & IF_PENDING) || scene->ops->pending(scene);
}

/* Advances the ordinal of rule INDEX and returns it; 0 if the call can't be counted. */
static uint32_t next_ordinal(struct board *board, const struct rule *rule, uint32_t index, const struct scene *scene)
{
    uint64_t nth;
    uint64_t matched = atomic_fetch_add_explicit(&board_tally(board, rule->tally)->matched, 1, memory_order_relaxed);
    if (rule->scope == PER_TREE) {
        nth = matched + 1;
    } else {
        _Atomic uint32_t *counter = scene->ops->counter(scene, index, (enum rule_scope)rule->scope);
        if (!counter)
            return 0;
        nth = (uint64_t)atomic_fetch_add_explicit(counter, 1, memory_order_relaxed) + 1;
    }
    return nth > UINT32_MAX ? UINT32_MAX : (uint32_t)nth;
}

/* Takes one of the rule's times=; exact under threads, for the count never passes the limit. */
static bool take_time(struct board *board, const struct rule *rule)
{
    _Atomic uint64_t *injected = &board_tally(board, rule->tally)->injected;
    if (rule->times == UINT64_MAX) {
        atomic_fetch_add_explicit(injected, 1, memory_order_relaxed);
        return true;
    }
    uint64_t count = atomic_load_explicit(injected, memory_order_relaxed);
    while (count < rule->times)
        if (atomic_compare_exchange_weak_explicit(injected, &count, count + 1, memory_order_relaxed,
                                                  memory_order_relaxed))
            return true;
    return false;
}

static bool rule_triggers(struct board *board, const struct rule *rule, uint32_t nth)
{
    if (nth == 0 || !rule_when(rule, nth))
        return false;
    /* The user's number of the rule, not its place on the board: a rule that was split draws one sequence. */
    return rule->probability == UINT64_MAX || rule_draw(board->seed, rule->tally, nth) < rule->probability;
}

/*
 * Is rule INDEX, which triggers or not as FIRING says, to act?  EMFILE and ENFILE give way while there is room, and the
 * room is asked about even when the rule does not fire, for then the shortage is over and its memory goes.
 */
RARE static bool rule_acts(struct board *board, uint32_t index, const struct scene *scene, bool firing, bool *yielded)
{
    const struct rule *rule = &board_rules(board)[index];
    *yielded = (firing || scene->struck) && rule_exhausts(rule) && scene->ops->room(scene, index, firing);
    if (!firing)
        return false;
    if (!*yielded)
        return take_time(board, rule);
    atomic_fetch_add_explicit(&board_tally(board, rule->tally)->yielded, 1, memory_order_relaxed);
    return true;
}

/* Is this call the accept to which a program falls back after its accept4 failed with EINVAL or ENOSYS? */
static bool falls_back(const struct scene *scene)
{
    return scene->fallback && scene->fallback->error != 0 && scene->call == CALL_accept &&
           scene->fallback->fd == scene->fd;
}

/* The second half of a logical call whose first half was made to fail: EINVAL is said again. */
RARE static bool repeat(struct board *board, const struct scene *scene, struct decision *out)
{
    const struct fallback *first = scene->fallback;
    if (first->error != EINVAL || first->rule == 0 || first->rule > board->rule_count)
        return false;
    out->rule = &board_rules(board)[first->rule - 1];
    out->index = first->rule - 1;
    out->nth = first->nth;
    out->repeated = true;
    return true;
}

bool decide(struct board *board, const struct scene *scene, struct decision *out)
{
    bool second_half = falls_back(scene);
    out->rule = NULL;
    out->yielded = out->repeated = false;
    if (atomic_load_explicit(&board->paused, memory_order_relaxed) || !board_alive(board))
        return false;
    if (second_half && repeat(board, scene, out))
        return true;

    for (uint32_t i = 0; i < board->rule_count; i++) {
        const struct rule *rule = &board_rules(board)[i];
        /* A rule that names accept4 too has counted this logical call already. */
        if (!rule_matches(board, rule, scene) || (second_half && rule_names(rule, CALL_accept4)))
            continue;
        uint32_t nth = next_ordinal(board, rule, i, scene);
        bool firing = rule_triggers(board, rule, nth), yielded;
        if (!firing && !scene->struck)
            continue;
        if (!out->rule && rule_acts(board, i, scene, firing, &yielded)) {
            out->rule = rule;
            out->index = i;
            out->nth = nth;
            out->yielded = yielded;
        }
    }
    return out->rule != NULL;
}

void decide_missed(struct board *board, const struct decision *decision)
{
    struct tally *tally = board_tally(board, decision->rule->tally);
    atomic_fetch_sub_explicit(&tally->injected, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&tally->missed, 1, memory_order_relaxed);
}

void decide_note(struct fallback *fallback, enum call call, int fd, int error, const struct decision *decision)
{
    fallback->error = 0;
    if (call != CALL_accept4 || (error != EINVAL && error != ENOSYS))
        return;
    fallback->fd = fd;
    fallback->error = error;
    fallback->rule = decision ? decision->index + 1 : 0;
    fallback->nth = decision ? decision->nth : 0;
}
