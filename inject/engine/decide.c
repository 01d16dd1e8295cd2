/*
 * Order matters here and is a promise (the plan language states it): filters, then the ordinal of every matching rule,
 * also of those behind the one that acts, then when, prob, times; the first rule that triggers acts.
 *
 * The plan may be replaced, and its memory written anew, while a thread is in here; it may sleep for minutes between any
 * two instructions.  Rules are read where they are, and before something is done by what they say (a count, an action)
 * board_holds() is asked whether it was still theirs; at the end once more, for what was not done.  A counter that belongs
 * to another rule by now is not touched (struct tally, next_of()).  Where the plan turns out to be gone, the decision begins
 * again by the one that is in force; `passed` remembers which rules have counted this call, so that none counts it twice,
 * and those that are gone get it taken back.  What acts after the decision is a copy.
 */
#include "decide.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* No plan is changed that often while one call is decided: the board is damaged, and must not hold up the target. */
enum { AGAIN_MAX = 10000 };

/* Filters with more to remember than the usual call should make room for on its stack. */
#define RARE __attribute__((noinline))

/* Predictions are cold after a system call: what is usual had better be the code that comes next. */
#define LIKELY(x) __builtin_expect((x) != 0, 1)
#define UNLIKELY(x) __builtin_expect((x) != 0, 0)

/* What takes the terms of a rule, which then stay in registers. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

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

static inline bool is_one_of(uint32_t ordinal, uint32_t first, uint32_t last, uint32_t step)
{
    if (ordinal < first || ordinal > last)
        return false;
    if (LIKELY(step <= 1)) /* the usual case, and a division is what it would cost */
        return step == 1 || ordinal == first;
    return (ordinal - first) % step == 0;
}

bool rule_when(const struct rule *rule, uint32_t ordinal)
{
    return is_one_of(ordinal, rule->first, rule->last, rule->step);
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
    if (from < rule->since_ns && !rule->after_start)
        from = rule->since_ns;
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

/* All filters of RULE, which has some, the cheap ones first; `pending` last, for it is a system call and goes stale. */
RARE static bool filters_match(struct board *board, const struct rule *rule, const struct scene *scene)
{
    uint32_t filters = rule->filters;
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

/* Whether RULE is about the call, as far as can be said without counting it. */
ALWAYS_INLINE bool rule_matches(struct board *board, const struct rule *rule, const struct scene *scene)
{
    if (UNLIKELY(!rule_names(rule, scene->call)))
        return false;
    if (UNLIKELY(rule->actions & (ACT_SOCKLEN | ACT_FAMILY)) && !scene->has_address)
        return false;
    return LIKELY(rule->filters == 0) || filters_match(board, rule, scene);
}

/* What counting a call needs of a rule. */
struct counted {
    uint32_t tally, slot, serial, nth;
    uint32_t pass; /* the last in which the rule was there */
};

/*
 * What is needed of a rule from its counting on: read before, all at once, for an atomic addition holds up whatever is
 * read behind it.
 */
struct terms {
    uint32_t tally, slot, serial, scope;
    uint32_t first, last, step, number;
    uint64_t probability, times;
    int32_t error;
    bool exhausts;
    bool usual; /* it counts in the tree, since the session began */
};

static inline struct terms terms_of(const struct rule *rule)
{
    return (struct terms){
        .tally = rule->tally,
        .slot = rule->slot,
        .serial = rule->serial,
        .scope = rule->scope,
        .first = rule->first,
        .last = rule->last,
        .step = rule->step,
        .number = rule->number,
        .probability = rule->probability,
        .times = rule->times,
        .error = rule->error,
        .exhausts = rule_exhausts(rule),
        .usual = rule->scope == PER_TREE && rule->serial == 0,
    };
}

/* The rules that have counted the call so far; how often the decision began again. */
struct passed {
    struct counted *rules; /* one more than may be counted */
    uint32_t count, again;
};

/* Rules for which the usual way has room; plans with more, and those that change, take another (decide_at_length()). */
enum { FEW = 4 };

/* As tally_add(), for a rule that may be gone. */
RARE static bool tally_add_if(_Atomic uint64_t *word, uint32_t serial, int64_t delta, uint64_t *before)
{
    uint64_t tag = tally_tag(serial), limit = tally_tag(1);
    uint64_t value = atomic_load_explicit(word, memory_order_relaxed);
    do {
        if (value - tag >= limit)
            return false;
        *before = value - tag;
    } while (!atomic_compare_exchange_weak_explicit(word, &value, value + (uint64_t)delta, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

/*
 * Adds DELTA to WORD of a tally, if that is still a word of the rule with SERIAL.  *BEFORE is the count that it had.  Those
 * of serial 0 are never anybody else's, and for them this is one instruction.
 */
ALWAYS_INLINE bool tally_add(_Atomic uint64_t *word, uint32_t serial, int64_t delta, uint64_t *before)
{
    if (UNLIKELY(serial != 0))
        return tally_add_if(word, serial, delta, before);
    *before = atomic_fetch_add_explicit(word, (uint64_t)delta, memory_order_relaxed);
    return true;
}

/* As tally_add(), where the count is no matter. */
RARE static void tally_note(_Atomic uint64_t *word, uint32_t serial, int64_t delta)
{
    uint64_t before;
    tally_add(word, serial, delta, &before);
}

/* Advances COUNTER for the rule with SERIAL; *NTH is its new ordinal.  False if the counter is a later rule's. */
static bool next_of(_Atomic uint64_t *counter, uint32_t serial, uint64_t *nth)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed), next;
    do {
        uint32_t owner = (uint32_t)(value >> 32), count = (uint32_t)value;
        if ((int32_t)(owner - serial) > 0)
            return false;
        if (owner != serial)
            count = 0;
        *nth = count == UINT32_MAX ? UINT32_MAX : count + 1;
        next = (uint64_t)serial << 32 | *nth;
    } while (!atomic_compare_exchange_weak_explicit(counter, &value, next, memory_order_relaxed, memory_order_relaxed));
    return true;
}

/* That nothing was counted: the plan was replaced, or the rule is gone. */
#define NOT_COUNTED UINT64_MAX

/* Advances the ordinal of a rule that counts in a scope other than the tree, or came later.  As count_call(). */
RARE static uint64_t count_elsewhere(struct board *board, uint32_t tally, uint32_t serial, uint32_t slot,
                                     enum rule_scope scope, const struct scene *scene)
{
    uint64_t matched, nth = 0;
    if (scope != PER_TREE) {
        _Atomic uint64_t *counter = scene->ops->counter(scene, slot, scope);
        if (counter && !next_of(counter, serial, &nth))
            return NOT_COUNTED;
    }
    if (!tally_add(&board_tally(board, tally)->matched, serial, 1, &matched))
        return NOT_COUNTED;
    if (scope == PER_TREE)
        nth = matched + 1;
    return nth > UINT32_MAX ? UINT32_MAX : nth;
}

/* Advances the ordinal of the rule with TERMS.  Returns it, 0 if the call can't be counted, or NOT_COUNTED. */
ALWAYS_INLINE uint64_t count_call(struct board *board, struct terms terms, const struct scene *scene)
{
    if (UNLIKELY(!terms.usual))
        return count_elsewhere(board, terms.tally, terms.serial, terms.slot, (enum rule_scope)terms.scope, scene);
    struct tally *tally = board_tally(board, terms.tally);
    uint64_t matched = atomic_fetch_add_explicit(&tally->matched, 1, memory_order_relaxed);
    return matched < UINT32_MAX ? matched + 1 : UINT32_MAX;
}

/* The entry of the rule of SLOT with SERIAL, if it has counted the call already, under a plan that is gone. */
RARE static struct counted *find_counted(struct passed passed, uint32_t slot, uint32_t serial)
{
    for (uint32_t i = 0; i < passed.count; i++)
        if (passed.rules[i].slot == slot && passed.rules[i].serial == serial)
            return passed.rules + i;
    return NULL;
}

/* Takes one of the TIMES of the rule with SERIAL; exact under threads, for the count never passes the limit. */
RARE static bool take_one_of(_Atomic uint64_t *injected, uint32_t serial, uint64_t times)
{
    uint64_t tag = tally_tag(serial), limit = tally_tag(1);
    uint64_t value = atomic_load_explicit(injected, memory_order_relaxed);
    while (value - tag < limit && value - tag < times)
        if (atomic_compare_exchange_weak_explicit(injected, &value, value + 1, memory_order_relaxed,
                                                  memory_order_relaxed))
            return true;
    return false;
}

/* As take_one_of(), also without a limit. */
ALWAYS_INLINE bool take_time(_Atomic uint64_t *injected, uint32_t serial, uint64_t times)
{
    uint64_t before;
    return times == UINT64_MAX ? tally_add(injected, serial, 1, &before) : take_one_of(injected, serial, times);
}

/* The user's number of the rule, not its place on the board: a rule that was split draws one sequence. */
RARE static bool draws(struct board *board, uint32_t number, uint64_t probability, uint32_t nth)
{
    return rule_draw(board->seed, number - 1, nth) < probability;
}

ALWAYS_INLINE bool triggers(struct board *board, struct terms terms, uint32_t nth)
{
    if (nth == 0 || !is_one_of(nth, terms.first, terms.last, terms.step))
        return false;
    return terms.probability == UINT64_MAX || draws(board, terms.number, terms.probability, nth);
}

/* Is this call the accept to which a program falls back after its accept4 failed with EINVAL or ENOSYS? */
static bool falls_back(const struct scene *scene)
{
    return scene->fallback && UNLIKELY(scene->fallback->error != 0) && scene->call == CALL_accept &&
           scene->fallback->fd == scene->fd;
}

/* The second half of a logical call whose first half was made to fail: EINVAL is said again. */
RARE static bool repeat(const struct scene *scene, struct decision *out)
{
    const struct fallback *first = scene->fallback;
    if (first->error != EINVAL || !first->injected)
        return false;
    memcpy(&out->copy, &first->rule, RULE_HEAD);
    out->rule = &out->copy;
    out->nth = first->nth;
    out->repeated = true;
    return true;
}

/* The plan was replaced: what the decision has made of it so far is taken back, but for the counting. */
RARE static void begin_again(struct board *board, struct decision *out)
{
    if (out->rule) {
        struct tally *tally = board_tally(board, out->rule->tally);
        tally_note(out->yielded ? &tally->yielded : &tally->injected, out->rule->serial, -1);
    }
    out->rule = NULL;
    out->yielded = false;
}

/* Rules that have counted the call and were deleted before it was decided: for them it never came. */
RARE static void uncount(struct board *board, struct passed passed)
{
    uint64_t before;
    for (uint32_t i = 0; i < passed.count; i++)
        if (passed.rules[i].pass != passed.again)
            tally_add(&board_tally(board, passed.rules[i].tally)->matched, passed.rules[i].serial, -1, &before);
}

/*
 * Copies what a decision takes along of RULE: the half of it, in the usual case that it makes the call fail and no more.
 * That half is a multiple of 16 bytes (with `retval`, which is not needed): the last piece of another would overlap the one
 * before it, and what is read across the two waits for both.
 */
static void take_along(struct rule *copy, const struct rule *rule)
{
    enum { FROM = offsetof(struct rule, serial), TO = offsetof(struct rule, socklen) };
    _Static_assert((TO - FROM) % 16 == 0, "whole pieces");
    copy->actions = rule->actions;
    copy->tally = rule->tally;
    if (copy->actions == ACT_FAIL)
        memcpy((char *)copy + FROM, (const char *)rule + FROM, TO - FROM);
    else
        memcpy(copy, rule, RULE_HEAD);
}

/*
 * RULE, whose terms are TERMS, has counted the call as its NTH, and triggers or not as FIRING says: if it is to act, fills
 * OUT.  EMFILE and ENFILE give way while there is room, and the room is asked about even when the rule does not fire, for
 * then the shortage is over and its memory goes.  (The copy comes last: each store before an atomic addition is one that
 * it waits for.)
 */
ALWAYS_INLINE void act(struct board *board, const struct rule *rule, struct terms terms, const struct scene *scene,
                       bool firing, uint32_t nth, struct decision *out)
{
    struct tally *tally = board_tally(board, terms.tally);
    const bool yielded = terms.exhausts && scene->ops->room(scene, terms.slot, terms.serial, terms.error, firing);
    if (!firing || (!yielded && !take_time(&tally->injected, terms.serial, terms.times)))
        return;
    if (yielded)
        tally_note(&tally->yielded, terms.serial, 1);
    take_along(&out->copy, rule);
    /* RULE may have been overwritten: that is found out at the end, and these two are needed then. */
    out->copy.tally = terms.tally;
    out->copy.serial = terms.serial;
    out->rule = &out->copy;
    out->nth = nth;
    out->yielded = yielded;
}

/*
 * Decides by the COUNT rules of the plan with STAMP.  Returns false if that was replaced and may have been overwritten.
 * AGAIN: it is not the first plan.  A rule that has counted the call is not asked again whether it matches, for its answer
 * might be another now.  When the entries of PASSED are used up, so many rules have come and gone during the call that one
 * that counts it twice is no matter.  (PASSED is a copy that the compiler can keep in registers.)
 */
ALWAYS_INLINE bool decide_by(struct board *board, uint32_t stamp, uint32_t count, const struct scene *scene,
                             bool second_half, struct decision *out, struct passed *passed, bool again)
{
    const struct rule *rule = board_rules(board, stamp), *end = rule + count;
    for (; rule < end; rule++) {
        struct counted *known = again ? find_counted(*passed, rule->slot, rule->serial) : NULL;
        /* A rule that names accept4 too has counted this logical call already. */
        if (!known && (!rule_matches(board, rule, scene) || (second_half && rule_names(rule, CALL_accept4))))
            continue;
        const struct terms terms = terms_of(rule);
        if (UNLIKELY(!board_holds(board, stamp)))
            return false;
        uint64_t nth = known ? known->nth : count_call(board, terms, scene);
        if (UNLIKELY(nth == NOT_COUNTED))
            return false;
        bool firing = triggers(board, terms, (uint32_t)nth);
        if ((firing || scene->struck) && !out->rule)
            act(board, rule, terms, scene, firing, (uint32_t)nth, out);
        struct counted *counted = known ? known : &passed->rules[passed->count];
        if (!known && LIKELY(passed->count < RULE_MAX))
            passed->count++;
        *counted = (struct counted){terms.tally, terms.slot, terms.serial, (uint32_t)nth, passed->again};
    }
    return board_holds(board, stamp);
}

/* Decides by however many rules, and as often as the plan is replaced; what is in SO_FAR has been counted already. */
RARE static bool decide_at_length(struct board *board, const struct scene *scene, bool second_half,
                                  struct decision *out, struct passed so_far)
{
    struct counted rules[RULE_MAX + 1];
    struct passed passed = {.rules = rules, .count = so_far.count, .again = so_far.again};
    bool done = false;
    memcpy(rules, so_far.rules, so_far.count * sizeof rules[0]);
    while (!done && passed.again < AGAIN_MAX) {
        uint32_t stamp = atomic_load_explicit(&board->plan_stamp, memory_order_acquire);
        uint32_t count = board->rule_counts[stamp % PLANS];
        done = passed.again ? decide_by(board, stamp, count, scene, second_half, out, &passed, true)
                            : decide_by(board, stamp, count, scene, second_half, out, &passed, false);
        if (!done) {
            begin_again(board, out);
            passed.again++;
        }
    }
    if (passed.again)
        uncount(board, passed);
    return out->rule != NULL;
}

bool decide(struct board *board, const struct scene *scene, struct decision *out)
{
    struct counted few[FEW + 1];
    struct passed passed = {.rules = few};
    bool second_half = falls_back(scene);
    out->rule = NULL;
    out->yielded = out->repeated = false;
    if (UNLIKELY(atomic_load_explicit(&board->paused, memory_order_relaxed) || !board_alive(board)))
        return false;
    if (UNLIKELY(second_half) && repeat(scene, out))
        return true;
    uint32_t stamp = atomic_load_explicit(&board->plan_stamp, memory_order_acquire);
    uint32_t count = board->rule_counts[stamp % PLANS];
    if (LIKELY(count <= FEW)) {
        if (LIKELY(decide_by(board, stamp, count, scene, second_half, out, &passed, false)))
            return out->rule != NULL;
        begin_again(board, out);
        passed.again++;
    }
    return decide_at_length(board, scene, second_half, out, passed);
}

void decide_missed(struct board *board, const struct decision *decision)
{
    struct tally *tally = board_tally(board, decision->rule->tally);
    tally_note(&tally->injected, decision->rule->serial, -1);
    tally_note(&tally->missed, decision->rule->serial, 1);
}

void decide_note(struct fallback *fallback, enum call call, int fd, int error, const struct decision *decision)
{
    fallback->error = 0;
    if (call != CALL_accept4 || (error != EINVAL && error != ENOSYS))
        return;
    fallback->fd = fd;
    fallback->error = error;
    fallback->injected = decision != NULL;
    if (decision == NULL)
        return;
    memcpy(&fallback->rule, decision->rule, RULE_HEAD);
    fallback->nth = decision->nth;
}
