/*
 * engine_test.c - decisions on a board in plain memory, against oracles that are too simple to be wrong.
 */
#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "engine/decide.h"

/* --- A board, and a backend whose every answer the test sets ------------------------------------------------------ */

static struct rule_set set;

static struct fake {
    struct scene_address address;
    bool pending, room;
    char comm[16], thread[16];
    uint64_t now;
    _Atomic uint64_t counter;
    struct stack *site;
    int asked;            /* questions so far */
    void (*change)(void); /* what happens the next time that a counter is asked for */
} fake;

static _Atomic uint64_t *fake_counter(const struct scene *scene, uint32_t slot, enum rule_scope scope)
{
    (void)scene, (void)slot;
    void (*change)(void) = fake.change;
    fake.change = NULL;
    if (change)
        change();
    return scope == PER_SITE ? NULL : &fake.counter;
}

static void fake_address(const struct scene *scene, struct scene_address *out)
{
    (void)scene;
    fake.asked++;
    *out = fake.address;
}

static bool fake_pending(const struct scene *scene)
{
    (void)scene;
    fake.asked++;
    return fake.pending;
}

static void fake_comm(const struct scene *scene, char out[16])
{
    (void)scene;
    memcpy(out, fake.comm, 16);
}

static void fake_thread(const struct scene *scene, char out[16])
{
    (void)scene;
    memcpy(out, fake.thread, 16);
}

static uint64_t fake_now(const struct scene *scene)
{
    (void)scene;
    return fake.now;
}

static bool fake_room(const struct scene *scene, uint32_t slot, uint32_t serial, int32_t error, bool firing)
{
    (void)scene, (void)slot, (void)serial, (void)error;
    return firing && fake.room;
}

static struct stack *fake_site(const struct scene *scene)
{
    (void)scene;
    fake.asked++;
    return fake.site;
}

static const struct scene_ops fake_ops = {fake_counter, fake_address, fake_pending, fake_comm,
                                          fake_thread,  fake_now,     fake_room,    fake_site};

/* A rule that names accept4 and accept and fails with EMFILE each time; the test changes what it is about. */
static struct rule *add_rule(void)
{
    struct rule *rule = &set.rules[set.count];
    memset(rule, 0, sizeof *rule);
    rule->calls[0] = UINT64_C(1) << CALL_accept4 | UINT64_C(1) << CALL_accept;
    rule->actions = ACT_FAIL;
    rule->error = EMFILE;
    rule->sticky = 1;
    rule->first = rule->step = 1;
    rule->last = UINT32_MAX;
    rule->probability = UINT64_MAX;
    rule->times = UINT64_MAX;
    rule->tally = set.count++;
    return rule;
}

static uint32_t add_string(const char *text)
{
    if (set.strings_size == 0)
        set.strings_size = 1;
    uint32_t at = set.strings_size;
    memcpy(set.strings + at, text, strlen(text) + 1);
    set.strings_size += (uint32_t)strlen(text) + 1;
    return at;
}

static struct board *begin(void)
{
    size_t size = board_size();
    void *memory = aligned_alloc(4096, (size + 4095) & ~(size_t)4095);
    assert_non_null(memory);
    memset(memory, 0, size);
    struct board *board = board_make(memory, size, &set, 1000);
    assert_non_null(board);
    board->lease_at = offsetof(struct board, lease_mutex);
    board->lease_mutex[0] = 1;
    assert_null(board_fault(memory, size));
    return board;
}

static struct scene accept4_scene(void)
{
    return (struct scene){.ops = &fake_ops, .call = CALL_accept4, .fd = 5, .has_address = true};
}

/* Decides once about CALL on FD; returns the acting rule's number from 1, 0 for none. */
static unsigned decide_about(struct board *board, enum call call, int fd)
{
    struct decision decision;
    struct scene scene = accept4_scene();
    scene.call = call;
    scene.fd = fd;
    return decide(board, &scene, &decision) ? decision.rule->number : 0;
}

static unsigned decide_once(struct board *board)
{
    return decide_about(board, CALL_accept4, 5);
}

/* --- when=, prob=, times= ----------------------------------------------------------------------------------------- */

/* Walks first, first+step, ... as the manual of strace says it, and marks what it meets. */
static void oracle(const struct rule *rule, bool fires[64])
{
    memset(fires, 0, 64 * sizeof fires[0]);
    for (uint64_t n = rule->first; n < 64 && n <= rule->last; n += rule->step) {
        fires[n] = true;
        if (rule->step == 0)
            return;
    }
}

static void when_agrees_with_a_walk(void **state)
{
    (void)state;
    struct rule rule = {0};
    for (rule.first = 1; rule.first < 12; rule.first++)
        for (rule.last = rule.first; rule.last < 40; rule.last++)
            for (rule.step = 0; rule.step < 9; rule.step++) {
                bool fires[64];
                oracle(&rule, fires);
                for (uint32_t n = 1; n < 64; n++)
                    if (rule_when(&rule, n) != fires[n])
                        fail_msg("when=%u..%u+%u at %u", rule.first, rule.last, rule.step, n);
            }
}

static void when_reaches_the_last_ordinal(void **state)
{
    (void)state;
    struct rule rule = {.first = UINT32_MAX, .last = UINT32_MAX, .step = 0};
    assert_true(rule_when(&rule, UINT32_MAX));
    assert_false(rule_when(&rule, UINT32_MAX - 1));
    rule = (struct rule){.first = 3, .last = UINT32_MAX, .step = UINT32_MAX};
    assert_true(rule_when(&rule, 3));
    assert_false(rule_when(&rule, 4));
}

static void prob_is_pure_and_fair(void **state)
{
    (void)state;
    unsigned below = 0;
    for (uint32_t n = 1; n <= 100000; n++) {
        assert_true(rule_draw(42, 1, n) == rule_draw(42, 1, n));
        below += rule_draw(42, 1, n) < UINT64_MAX / 20;
    }
    assert_in_range(below, 4700, 5300);
    assert_true(rule_draw(42, 1, 1) != rule_draw(43, 1, 1));
    assert_true(rule_draw(42, 1, 1) != rule_draw(42, 2, 1));
}

static void prob_decides_by_the_draw(void **state)
{
    (void)state;
    struct rule *rule = add_rule();
    rule->probability = UINT64_MAX / 4;
    set.seed = 7;
    struct board *board = begin();
    for (uint32_t n = 1; n <= 1000; n++)
        assert_int_equal(decide_once(board) != 0, rule_draw(7, 0, n) < UINT64_MAX / 4);
    free(board);
}

static void prob_0_never_and_1_always(void **state)
{
    (void)state;
    add_rule()->probability = 0;
    add_rule();
    struct board *board = begin();
    for (int n = 0; n < 1000; n++)
        assert_int_equal(decide_once(board), 2);
    free(board);
}

static void *decide_many(void *board)
{
    for (int n = 0; n < 20000; n++)
        decide_once(board);
    return NULL;
}

static void times_and_ordinals_are_exact_under_threads(void **state)
{
    (void)state;
    add_rule()->times = 777;
    add_rule()->last = 5000;
    struct board *board = begin();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, decide_many, board), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(board_tally(board, 0)->injected, 777);
    assert_int_equal(board_tally(board, 0)->matched, 80000);
    assert_int_equal(board_tally(board, 1)->matched, 80000);
    assert_in_range(board_tally(board, 1)->injected, 5000 - 777, 5000);
    free(board);
}

/* --- Several rules ------------------------------------------------------------------------------------------------ */

static void first_that_triggers_acts_and_all_count(void **state)
{
    (void)state;
    add_rule()->first = 3; /* 3, 4, 5, ... */
    add_rule();            /* always, and so at 1 and 2 */
    struct rule *third = add_rule();
    third->first = third->last = 4; /* hidden by the first */
    struct board *board = begin();
    const unsigned expected[] = {2, 2, 1, 1, 1};
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(decide_once(board), expected[i]);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(board_tally(board, i)->matched, 5);
    assert_int_equal(board_tally(board, 0)->injected, 3);
    assert_int_equal(board_tally(board, 1)->injected, 2);
    assert_int_equal(board_tally(board, 2)->injected, 0);
    free(board);
}

static void a_list_of_calls_shares_one_ordinal(void **state)
{
    (void)state;
    struct rule *rule = add_rule();
    rule->first = 2;
    rule->step = 2;
    struct board *board = begin();
    assert_int_equal(decide_about(board, CALL_accept, 5), 0);
    assert_int_equal(decide_about(board, CALL_accept4, 5), 1);
    assert_int_equal(decide_about(board, CALL_listen, 5), 0); /* not named */
    assert_int_equal(decide_about(board, CALL_accept4, 5), 0);
    assert_int_equal(decide_about(board, CALL_accept, 5), 1);
    assert_int_equal(board_tally(board, 0)->matched, 4);
    free(board);
}

static void scopes_count_where_the_backend_says(void **state)
{
    (void)state;
    struct rule *rule = add_rule();
    rule->scope = PER_THREAD;
    rule->first = rule->last = 2;
    set.sites = true;
    add_rule()->scope = PER_SITE; /* which this backend can't count: never acts */
    struct board *board = begin();
    fake.counter = 0;
    assert_int_equal(decide_once(board), 0);
    assert_int_equal(decide_once(board), 1);
    fake.counter = 1; /* as in another thread */
    assert_int_equal(decide_once(board), 1);
    assert_int_equal(board_tally(board, 1)->injected, 0);
    free(board);
}

/* --- Filters ------------------------------------------------------------------------------------------------------ */

static void filters_hold_before_anything_counts(void **state)
{
    (void)state;
    struct rule *rule = add_rule();
    rule->filters = IF_FD;
    rule->fd = 7;
    struct board *board = begin();
    assert_int_equal(decide_about(board, CALL_accept4, 6), 0);
    assert_int_equal(board_tally(board, 0)->matched, 0);
    assert_int_equal(decide_about(board, CALL_accept4, 7), 1);
    assert_int_equal(board_tally(board, 0)->matched, 1);
    free(board);
}

static void address_filters(void **state)
{
    (void)state;
    struct rule *rule = add_rule();
    rule->filters = IF_PORT | IF_LOCAL | IF_TYPE;
    rule->port = 80;
    rule->type = AF_INET;
    rule->local = (struct rule_address){.family = AF_INET, .bytes = {127, 0, 0, 1}};
    struct board *board = begin();
    const struct scene_address good = {.family = AF_INET, .port = 80, .bytes = {127, 0, 0, 1}};
    fake.address = good;
    assert_int_equal(decide_once(board), 1);
    fake.address.port = 81;
    assert_int_equal(decide_once(board), 0);
    fake.address = good;
    fake.address.bytes[3] = 2;
    assert_int_equal(decide_once(board), 0);
    fake.address = good;
    fake.address.family = AF_INET6;
    assert_int_equal(decide_once(board), 0);
    fake.address = (struct scene_address){0};
    assert_int_equal(decide_once(board), 0);
    free(board);
}

static void path_and_name_filters(void **state)
{
    (void)state;
    struct rule *rule = add_rule();
    rule->filters = IF_PATH | IF_COMM | IF_THREAD;
    rule->path = add_string("/run/*.sock");
    rule->comm = add_string("ngin?");
    rule->thread = add_string("worker-[0-9]");
    struct board *board = begin();
    fake.address.family = AF_UNIX;
    strcpy(fake.address.path, "/run/a/b.sock");
    strcpy(fake.comm, "nginx");
    strcpy(fake.thread, "worker-3");
    assert_int_equal(decide_once(board), 1);
    strcpy(fake.thread, "worker-x");
    assert_int_equal(decide_once(board), 0);
    strcpy(fake.thread, "worker-3");
    strcpy(fake.comm, "apache");
    assert_int_equal(decide_once(board), 0);
    strcpy(fake.comm, "nginx");
    strcpy(fake.address.path, "/run/a/b.socket");
    assert_int_equal(decide_once(board), 0);
    free(board);
}

static void window_starts_at_ready_or_at_start(void **state)
{
    (void)state;
    struct rule *rule = add_rule();
    rule->filters = IF_WINDOW;
    rule->after_ns = 100;
    rule->for_ns = 50;
    rule = add_rule();
    rule->filters = IF_WINDOW;
    rule->after_start = 1;
    rule->after_ns = 10;
    rule->for_ns = UINT64_MAX;
    struct board *board = begin(); /* started at 1000 */
    fake.now = 1009;
    assert_int_equal(decide_once(board), 0);
    fake.now = 1010;
    assert_int_equal(decide_once(board), 2);
    board->ready_ns = 2000;
    const uint64_t times[] = {2099, 2100, 2149, 2150};
    const unsigned expected[] = {2, 1, 1, 2};
    for (size_t i = 0; i < 4; i++) {
        fake.now = times[i];
        assert_int_equal(decide_once(board), expected[i]);
    }
    free(board);
}

static void pending_is_asked_last(void **state)
{
    (void)state;
    struct rule *rule = add_rule();
    rule->filters = IF_PENDING | IF_FD;
    rule->fd = 5;
    struct board *board = begin();
    fake.pending = false;
    assert_int_equal(decide_about(board, CALL_accept4, 4), 0);
    assert_int_equal(fake.asked, 0); /* the descriptor ruled it out already */
    assert_int_equal(decide_once(board), 0);
    fake.pending = true;
    assert_int_equal(decide_once(board), 1);
    assert_int_equal(board_tally(board, 0)->matched, 1);
    free(board);
}

static void tampering_needs_an_address(void **state)
{
    (void)state;
    struct rule *rule = add_rule();
    rule->actions = ACT_SOCKLEN;
    struct board *board = begin();
    struct scene scene = accept4_scene();
    struct decision decision;
    scene.has_address = false;
    assert_false(decide(board, &scene, &decision));
    assert_int_equal(board_tally(board, 0)->matched, 0);
    scene.has_address = true;
    assert_true(decide(board, &scene, &decision));
    free(board);
}

/* --- EMFILE's room, missed faults, the fallback from accept4 ------------------------------------------------------ */

static void emfile_gives_way_while_there_is_room(void **state)
{
    (void)state;
    add_rule()->sticky = 0;
    struct board *board = begin();
    struct scene scene = accept4_scene();
    struct decision decision;
    assert_true(decide(board, &scene, &decision) && !decision.yielded);
    fake.room = true;
    assert_true(decide(board, &scene, &decision) && decision.yielded);
    assert_int_equal(decision.nth, 2);
    fake.room = false;
    assert_true(decide(board, &scene, &decision) && !decision.yielded);
    assert_int_equal(decision.nth, 3);
    assert_int_equal(board_tally(board, 0)->injected, 2);
    assert_int_equal(board_tally(board, 0)->yielded, 1);
    free(board);
}

static void sticky_never_gives_way(void **state)
{
    (void)state;
    add_rule();
    struct board *board = begin();
    struct scene scene = accept4_scene();
    struct decision decision;
    fake.room = true;
    assert_true(decide(board, &scene, &decision) && !decision.yielded);
    free(board);
}

static void a_missed_fault_gives_its_time_back(void **state)
{
    (void)state;
    add_rule()->times = 1;
    struct board *board = begin();
    struct scene scene = accept4_scene();
    struct decision decision;
    assert_true(decide(board, &scene, &decision));
    decide_missed(board, &decision);
    assert_int_equal(board_tally(board, 0)->injected, 0);
    assert_int_equal(board_tally(board, 0)->missed, 1);
    assert_true(decide(board, &scene, &decision));
    assert_false(decide(board, &scene, &decision));
    free(board);
}

/* One accept4 on FD that fails with ERROR, then accept on FD2. */
static bool fall_back(struct board *board, int error, int fd2, struct decision *second)
{
    struct fallback fallback = {0};
    struct decision first;
    struct scene scene = accept4_scene();
    scene.fallback = &fallback;
    bool acts = decide(board, &scene, &first);
    decide_note(&fallback, CALL_accept4, scene.fd, error, acts ? &first : NULL);
    scene.call = CALL_accept;
    scene.fd = fd2;
    return decide(board, &scene, second);
}

static void einval_is_repeated_to_the_fallback(void **state)
{
    (void)state;
    add_rule()->error = EINVAL;
    struct board *board = begin();
    struct decision second;
    assert_true(fall_back(board, EINVAL, 5, &second));
    assert_true(second.repeated);
    assert_int_equal(second.nth, 1);
    assert_int_equal(board_tally(board, 0)->matched, 1);
    assert_int_equal(board_tally(board, 0)->injected, 1);
    free(board);
}

static void enosys_lets_the_fallback_through(void **state)
{
    (void)state;
    add_rule()->error = ENOSYS;
    struct board *board = begin();
    struct decision second;
    assert_false(fall_back(board, ENOSYS, 5, &second));
    assert_int_equal(board_tally(board, 0)->matched, 1);
    free(board);
}

static void a_fallback_elsewhere_is_a_call_of_its_own(void **state)
{
    (void)state;
    add_rule()->error = ENOSYS;
    struct board *board = begin();
    struct decision second;
    assert_true(fall_back(board, ENOSYS, 6, &second));
    assert_int_equal(second.nth, 2);
    assert_int_equal(board_tally(board, 0)->matched, 2);
    free(board);
}

static void a_rule_for_accept_alone_sees_the_fallback(void **state)
{
    (void)state;
    struct rule *rule = add_rule();
    rule->error = ENOSYS;
    rule->calls[0] = UINT64_C(1) << CALL_accept4;
    rule = add_rule();
    rule->calls[0] = UINT64_C(1) << CALL_accept;
    struct board *board = begin();
    struct decision second;
    assert_true(fall_back(board, ENOSYS, 5, &second));
    assert_int_equal(second.rule->number, 2);
    free(board);
}

/* --- A plan that changes -------------------------------------------------------------------------------------------- */

/* Puts the first COUNT rules of `set` in force. */
static void publish(struct board *board, uint32_t count)
{
    set.count = count;
    assert_int_equal(board_publish(board, &set), 0);
}

static void a_rule_that_stays_keeps_its_counts(void **state)
{
    (void)state;
    add_rule()->last = 2;
    struct board *board = begin();
    decide_once(board);
    set.rules[0].number = 1;
    struct rule *more = add_rule();
    *more = (struct rule){.number = 2, .serial = 7, .slot = 1, .tally = RULE_MAX, .actions = ACT_FAIL, .error = ENFILE};
    memcpy(more->calls, set.rules[0].calls, sizeof more->calls);
    more->first = more->step = 1;
    more->last = UINT32_MAX;
    more->probability = more->times = UINT64_MAX;
    more->sticky = 1;
    publish(board, 2);
    assert_int_equal(decide_once(board), 1); /* its second call, ... */
    assert_int_equal(decide_once(board), 2); /* ... and its third, which is no longer one of when='s */
    assert_int_equal(tally_count(&board_tally(board, 0)->matched), 3);
    assert_int_equal(tally_count(&board_tally(board, RULE_MAX)->matched), 2);
    assert_int_equal(tally_count(&board_tally(board, RULE_MAX)->injected), 1);
    free(board);
}

/* Each scope has a counter that outlives the rule: what an earlier rule of the slot counted there is not the later one's. */
static void a_new_rule_starts_at_zero_in_each_scope(void **state)
{
    (void)state;
    static const enum rule_scope scopes[] = {PER_PROCESS, PER_THREAD, PER_FD};
    for (size_t i = 0; i < sizeof scopes / sizeof scopes[0]; i++) {
        struct decision decision;
        struct scene scene = accept4_scene();
        set.count = 0;
        fake.counter = 0;
        add_rule()->scope = scopes[i];
        struct board *board = begin();
        for (uint32_t nth = 1; nth <= 3; nth++)
            assert_true(decide(board, &scene, &decision) && decision.nth == nth);
        set.rules[0].serial = 1;
        set.rules[0].number = 2;
        set.rules[0].tally = RULE_MAX;
        publish(board, 1);
        assert_true(decide(board, &scene, &decision) && decision.nth == 1);
        publish(board, 0);
        assert_false(decide(board, &scene, &decision));
        free(board);
    }
}

/* A call may end hours after it was decided: its rule, and the tally, may be another's by then. */
static void a_late_miss_does_not_reach_a_later_rule(void **state)
{
    (void)state;
    add_rule();
    struct board *board = begin();
    struct decision decision;
    struct scene scene = accept4_scene();
    for (uint32_t serial = 1; serial <= PLANS; serial++) {
        set.rules[0].serial = serial;
        set.rules[0].tally = RULE_MAX;
        publish(board, 1);
        if (serial == 1)
            assert_true(decide(board, &scene, &decision));
    }
    decide_missed(board, &decision);
    assert_int_equal(tally_count(&board_tally(board, RULE_MAX)->injected), 0);
    assert_int_equal(tally_count(&board_tally(board, RULE_MAX)->missed), 0);
    free(board);
}

static void windows_of_later_rules_begin_with_them(void **state)
{
    (void)state;
    struct rule *rule = add_rule();
    rule->filters = IF_WINDOW;
    rule->for_ns = 100;
    struct board *board = begin();
    board->ready_ns = 2000;
    fake.now = 5050;
    assert_int_equal(decide_once(board), 0); /* long over */
    set.rules[0].number = 1;
    set.rules[0].since_ns = 5000;
    publish(board, 1);
    assert_int_equal(decide_once(board), 1);
    fake.now = 5100;
    assert_int_equal(decide_once(board), 0);
    set.rules[0].after_start = 1;
    publish(board, 1);
    assert_int_equal(decide_once(board), 0);
    free(board);
}

static void wanted_follows_the_plan(void **state)
{
    (void)state;
    add_rule()->error = EMFILE;
    struct board *board = begin();
    unsigned char before[256];
    memcpy(before, board->wanted, sizeof before);
    board->wanted[CALL_listen] |= WANT_RECORD;
    struct rule *rule = add_rule();
    rule->calls[0] = UINT64_C(1) << CALL_listen | UINT64_C(1) << CALL_accept4;
    rule->scope = PER_FD;
    rule->slot = 1;
    publish(board, 2);
    assert_int_equal(board->wanted[CALL_listen], WANT_RECORD | WANT_RULE | WANT_ANY_FD | WANT_BREAK);
    assert_true(board->wanted[WANTED_FREES] & WANT_FREES);
    assert_true(board->wanted[CALL_close] & WANT_FREES);
    publish(board, 1);
    assert_int_equal(board->wanted[CALL_listen], WANT_RECORD | WANT_BREAK);
    board->wanted[CALL_listen] &= (unsigned char)~WANT_RECORD;
    assert_memory_equal(board->wanted, before, sizeof before);
    publish(board, 0);
    for (unsigned i = 0; i < 256; i++)
        assert_int_equal(board->wanted[i], 0);
    free(board);
}

static void too_large_a_plan_changes_nothing(void **state)
{
    (void)state;
    add_rule();
    struct board *board = begin();
    set.count = RULE_MAX + 1;
    assert_int_equal(board_publish(board, &set), -1);
    assert_int_equal(decide_once(board), 1);
    free(board);
}

static struct board *changing;

/* PLANS later the memory of the first is overwritten.  Its first rule stays, and the second is another one. */
static void replace_second_rule(void)
{
    for (uint32_t serial = 1; serial <= PLANS; serial++) {
        set.rules[1].number = 2 + serial;
        set.rules[1].retval = (int32_t)(2 + serial);
        set.rules[1].serial = serial;
        set.rules[1].tally = RULE_MAX + serial;
        publish(changing, 2);
    }
}

static void a_decision_begins_again_when_its_plan_is_gone(void **state)
{
    (void)state;
    struct decision decision;
    struct scene scene = accept4_scene();
    struct rule *first = add_rule(), *second = add_rule();
    first->first = UINT32_MAX; /* it counts, and does not fire */
    second->actions = ACT_RETURN;
    second->scope = PER_PROCESS;
    second->retval = 2;
    changing = begin();
    first->number = 1;
    second->slot = 1;
    fake.change = replace_second_rule;
    assert_true(decide(changing, &scene, &decision));
    assert_int_equal(decision.rule->number, 2 + PLANS);
    assert_int_equal(decision.rule->retval, 2 + PLANS);
    assert_int_equal(decision.nth, 1);
    assert_int_equal(board_tally(changing, 0)->matched, 1);
    assert_int_equal(board_tally(changing, 1)->matched, 0); /* the rule that was deleted in the middle */
    assert_int_equal(board_tally(changing, 1)->injected, 0);
    assert_int_equal(tally_count(&board_tally(changing, RULE_MAX + PLANS)->matched), 1);
    assert_int_equal(tally_count(&board_tally(changing, RULE_MAX + PLANS)->injected), 1);
    free(changing);
}

/* What it did by the plan that is gone, it does once all the same: the first call stays the first. */
static void a_rule_that_acted_acts_once(void **state)
{
    (void)state;
    struct decision decision;
    struct scene scene = accept4_scene();
    struct rule *first = add_rule(), *second = add_rule();
    first->last = 1;
    first->times = 1;
    second->scope = PER_PROCESS;
    changing = begin();
    first->number = 1;
    second->slot = 1;
    fake.change = replace_second_rule;
    assert_true(decide(changing, &scene, &decision));
    assert_int_equal(decision.rule->number, 1);
    assert_int_equal(decision.nth, 1);
    assert_int_equal(board_tally(changing, 0)->matched, 1);
    assert_int_equal(board_tally(changing, 0)->injected, 1);
    assert_int_equal(tally_count(&board_tally(changing, RULE_MAX + PLANS)->matched), 1);
    assert_int_equal(tally_count(&board_tally(changing, RULE_MAX + PLANS)->injected), 0);
    free(changing);
}

/*
 * Threads decide while the plan changes as fast as it can be written.  Every plan has three rules that all match: the first
 * is in all of them, and counts; the second is new each time, and counts in a scope; the third is new, acts, and returns
 * the plan's own number.  A call that saw half of a change would not act, or with a number that is not its rule's; and
 * one that was decided anew because of a change would be counted twice by the first.
 */
enum { CHANGES = 300000, DECIDERS = 4, PLAN_RULES = 3, FIRST_TALLY = RULE_MAX };

static struct stress {
    struct board *board;
    _Atomic bool stop;
    _Atomic uint64_t decided, wrong;
} stress;

static _Atomic uint64_t stress_counters[RULE_MAX];

static _Atomic uint64_t *stress_counter(const struct scene *scene, uint32_t slot, enum rule_scope scope)
{
    (void)scene, (void)scope;
    return &stress_counters[slot];
}

static void *decide_on(void *unused)
{
    static const struct scene_ops ops = {.counter = stress_counter, .room = fake_room};
    struct scene scene = {.ops = &ops, .call = CALL_accept4, .fd = 5, .has_address = true};
    struct decision decision;
    while (!atomic_load(&stress.stop)) {
        uint32_t before = atomic_load(&stress.board->plan_stamp);
        bool acts = decide(stress.board, &scene, &decision);
        uint32_t after = atomic_load(&stress.board->plan_stamp);
        /* The plan with stamp N returns N, from a rule with number N: and N was in force while the call was decided. */
        uint32_t stamp = acts ? (uint32_t)decision.rule->retval : 0;
        if (!acts || decision.rule->number != stamp + 1 || stamp - before > after - before || decision.nth == 0)
            atomic_fetch_add(&stress.wrong, 1);
        atomic_fetch_add(&stress.decided, 1);
    }
    return unused;
}

/* The plan with STAMP: its rules are all new, in slots and tallies that rules before them have had. */
static void write_stress_plan(uint32_t stamp)
{
    for (uint32_t i = 1; i < PLAN_RULES; i++) {
        struct rule *rule = &set.rules[i];
        rule->number = i + 1 < PLAN_RULES ? UINT32_MAX : stamp + 1;
        rule->serial = stamp;
        rule->slot = 1 + (stamp + i) % (RULE_MAX - 1);
        rule->tally = stamp == 0 ? i : FIRST_TALLY + stamp % PLANS * PLAN_RULES + i;
        rule->retval = (int32_t)stamp;
    }
}

static void each_decision_is_that_of_one_plan(void **state)
{
    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); /* it reports the copy that is checked afterwards, and can't know of the check */
#endif
    pthread_t threads[DECIDERS];
    for (uint32_t i = 0; i < PLAN_RULES; i++) {
        struct rule *rule = add_rule();
        rule->actions = ACT_RETURN;
        rule->scope = i == 1 ? PER_PROCESS : PER_TREE;
        rule->first = i + 1 < PLAN_RULES ? UINT32_MAX : 1;
        rule->times = i + 1 < PLAN_RULES ? UINT64_MAX : UINT64_MAX - 1;
    }
    write_stress_plan(0);
    stress = (struct stress){.board = begin()};
    board_rules(stress.board, 0)[PLAN_RULES - 1].number = 1;
    for (size_t i = 0; i < DECIDERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, decide_on, NULL), 0);
    for (uint32_t stamp = 1; stamp <= CHANGES; stamp++) {
        write_stress_plan(stamp);
        publish(stress.board, PLAN_RULES);
    }
    atomic_store(&stress.stop, true);
    for (size_t i = 0; i < DECIDERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(stress.wrong, 0);
    assert_int_equal(board_tally(stress.board, 0)->matched, stress.decided);
    print_message("%ju decisions\n", (uintmax_t)stress.decided);
    free(stress.board);
}

/* --- Paused, gone, damaged ---------------------------------------------------------------------------------------- */

static void nothing_fires_or_counts_while_paused_or_gone(void **state)
{
    (void)state;
    add_rule();
    struct board *board = begin();
    board->paused = 1;
    assert_int_equal(decide_once(board), 0);
    board->paused = 0;
    const uint32_t gone[] = {0, 1 | LEASE_OWNER_DIED, LEASE_OWNER_DIED};
    for (size_t i = 0; i < 3; i++) {
        memcpy(board->lease_mutex, &gone[i], sizeof gone[i]);
        assert_int_equal(decide_once(board), 0);
    }
    assert_int_equal(board_tally(board, 0)->matched, 0);
    const uint32_t alive = 4711;
    memcpy(board->lease_mutex, &alive, sizeof alive);
    assert_int_equal(decide_once(board), 1);
    free(board);
}

static void a_board_is_refused_in_every_shorter_length(void **state)
{
    (void)state;
    add_rule();
    struct board *board = begin();
    size_t lengths[] = {0, 1, sizeof *board - 1, sizeof *board, board->size - 1};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        /* A copy of just that length, so that a sanitizer sees a read behind it. */
        void *cut = malloc(lengths[i] + 1);
        assert_non_null(cut);
        memcpy(cut, board, lengths[i]);
        assert_string_equal(board_fault(cut, lengths[i]), "truncated");
        free(cut);
    }
    free(board);
}

static void a_damaged_board_is_refused(void **state)
{
    (void)state;
    add_rule();
    struct board *board = begin(), good = *board;
    const size_t size = board->size;
#define REFUSED(change, why) \
    do { \
        change; \
        assert_string_equal(board_fault(board, size), why); \
        *board = good; \
        assert_null(board_fault(board, size)); \
    } while (0)
    REFUSED(board->magic++, "not a board");
    REFUSED(board->format++, "made by another version of snag");
    REFUSED(board->header_size++, "made by another version of snag");
    REFUSED(board->ring_count = 0, "damaged: number of rings");
    REFUSED(board->ring_count = UINT32_MAX, "damaged: number of rings");
    REFUSED(board->rules_at = UINT64_MAX, "damaged: offsets");
    REFUSED(board->rings_at += 64, "damaged: offsets");
    REFUSED(board->modules_at += 64, "damaged: offsets");
    REFUSED(board->stacks_at += 64, "damaged: offsets");
    REFUSED(board->ranges_at += 64, "damaged: offsets");
    REFUSED(board->site_ordinals_at += 64, "damaged: offsets");
    REFUSED(board->pattern_count = PATTERN_MAX + 1, "damaged: counts");
    REFUSED(board->rule_counts[0] = RULE_MAX + 1, "damaged: counts");
    REFUSED(board->rule_counts[PLANS - 1] = RULE_MAX + 1, "damaged: counts");
    REFUSED(board->lease_at = sizeof *board, "damaged: counts");
    REFUSED(memset(board->board_path, 'x', sizeof board->board_path), "damaged: strings");
#undef REFUSED
    board_rules(board, 0)->text = PLANS * BOARD_STRINGS;
    assert_string_equal(board_fault(board, size), "damaged: a rule");
    free(board);
}

static void a_rule_for_a_site_needs_a_board_with_sites(void **state)
{
    (void)state;
    struct rule *rule = add_rule();
    set.sites = true;
    set.pattern_count = 1;
    rule->filters = IF_CALLER | IF_STACK;
    struct board *board = begin();
    board_rules(board, 0)->caller_pattern = 1;
    assert_string_equal(board_fault(board, board->size), "damaged: a rule");
    board_rules(board, 0)->caller_pattern = 0;
    board_rules(board, 0)->stack_pattern = 1;
    assert_string_equal(board_fault(board, board->size), "damaged: a rule");
    board_rules(board, 0)->stack_pattern = 0;
    assert_null(board_fault(board, board->size));
    board->sites = 0;
    assert_string_equal(board_fault(board, board->size), "damaged: a rule");
    free(board);
}

/* Any bytes at all: whatever is accepted must be in bounds, which ASan would tell. */
static void mutated_boards_are_refused_or_usable(void **state)
{
    (void)state;
    add_rule()->filters = IF_PATH;
    struct board *board = begin();
    size_t head = board->rules_at + sizeof(struct rule);
    unsigned char *bytes = malloc(head), *live = (unsigned char *)board;
    assert_non_null(bytes);
    memcpy(bytes, board, head);
    fake.address.family = AF_UNIX;
    for (uint32_t i = 0; i < 20000; i++) {
        uint64_t draw = rule_draw(1, 1, i);
        live[draw % head] ^= (unsigned char)(draw >> 32);
        if (!board_fault(board, board_size()))
            decide_once(board);
        memcpy(board, bytes, head);
    }
    free(bytes);
    free(board);
}

static void globs(void **state)
{
    (void)state;
    static const struct {
        const char *glob, *text;
        bool matches;
    } rows[] = {
        {"", "", true},
        {"", "a", false},
        {"*", "", true},
        {"*", "abc", true},
        {"a*c", "abc", true},
        {"a*c", "abcd", false},
        {"a?c", "abc", true},
        {"a?c", "ac", false},
        {"*b*", "abc", true},
        {"*x*", "abc", false},
        {"[a-c]x", "bx", true},
        {"[a-c]x", "dx", false},
        {"[!a-c]", "d", true},
        {"[!a-c]", "b", false},
        {"[]]", "]", true},
        {"[", "[", true},
        {"\\*", "*", true},
        {"\\*", "a", false},
        {"a**b", "axb", true},
        {"*a*a*a*b", "aaaaaaaaaaaaaaaaac", false},
        {"[a", "[a", true},
        {"worker-*", "worker-", true},
        {"*.sock", "/x/y.sock", true},
        {"\\", "\\", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (glob_match(rows[i].glob, rows[i].text) != rows[i].matches)
            fail_msg("glob '%s' on '%s'", rows[i].glob, rows[i].text);
}

static void wanted_says_who_must_look(void **state)
{
    (void)state;
    struct rule *rule = add_rule();
    rule->calls[0] = UINT64_C(1) << CALL_listen;
    struct board *board = begin();
    assert_int_equal(board->wanted[CALL_listen], WANT_RULE | WANT_ANY_FD);
    assert_int_equal(board->wanted[CALL_accept], 0);
    assert_int_equal(board->wanted[CALL_close], 0);
    board_watch_ready(board, true);
    assert_int_equal(board->wanted[CALL_epoll_wait], WANT_READY);
    board_watch_ready(board, false);
    assert_int_equal(board->wanted[CALL_epoll_wait], 0);
    free(board);
    set.rules[0].sticky = 0;
    board = begin();
    assert_int_equal(board->wanted[CALL_close], WANT_FREES);
    assert_int_equal(board->wanted[CALL_dup3], WANT_FREES);
    assert_int_equal(board->wanted[CALL_dup], 0);
    assert_int_equal(board->wanted[WANTED_FREES], WANT_FREES);
    free(board);
    set.rules[0].calls[0] = UINT64_C(1) << CALL_accept;
    board = begin();
    assert_int_equal(board->wanted[CALL_dup2], WANT_FREES | WANT_BREAK);
    assert_int_equal(board->wanted[CALL_dup3], WANT_FREES | WANT_BREAK);
    free(board);
}

/* --- Call sites --------------------------------------------------------------------------------------------------- */

enum { NGINX, LIBEVENT };

/* A board with call sites, two modules, and PATTERNS patterns. */
static struct board *begin_sites(uint32_t patterns)
{
    set.sites = true;
    set.pattern_count = patterns;
    struct board *board = begin();
    assert_int_equal(module_put(board, "/usr/sbin/nginx", "\1\2", 2, 100), NGINX);
    assert_int_equal(module_put(board, "/usr/lib/libevent.so.7", "", 0, 100), LIBEVENT);
    return board;
}

static uint64_t frame(uint16_t module, uint64_t offset)
{
    return (uint64_t)module << 48 | offset;
}

/* Puts a stack with the id ID, called from OFFSET in nginx, which is called from 0x500 in libevent. */
static struct stack *put(struct board *board, uint64_t id, uint64_t offset)
{
    const uint64_t frames[] = {frame(NGINX, offset), frame(LIBEVENT, 0x500)};
    uint32_t index = stack_put(board, id, CALL_accept4, frames, 2);
    return index == STACK_NONE ? NULL : board_stack(board, index);
}

static void modules_are_found_by_path_and_build(void **state)
{
    (void)state;
    struct board *board = begin_sites(0);
    assert_int_equal(module_put(board, "/usr/sbin/nginx", "\1\2", 2, 200), NGINX);
    assert_int_equal(board->module_count, 2);
    assert_int_equal(module_put(board, "/usr/sbin/nginx", "\1\3", 2, 200), 2); /* built anew while it ran */
    assert_int_equal(module_put(board, "/opt/nginx", "\1\2", 2, 200), 3);
    assert_int_equal(board_module(board, NGINX)->pid, 100);
    assert_int_equal(board_module(board, 3)->key, board_module(board, NGINX)->key);
    assert_int_not_equal(board_module(board, LIBEVENT)->key, board_module(board, NGINX)->key);
    char path[400] = "/";
    memset(path + 1, 'x', sizeof path - 2);
    assert_int_equal(module_put(board, path, "", 0, 200), 4);
    assert_int_equal(strlen(board_module(board, 4)->path), sizeof board_module(board, 4)->path - 1);
    assert_int_equal(module_put(board, path, "", 0, 200), 4);
    for (int i = 5; i < MODULE_MAX; i++) {
        snprintf(path, sizeof path, "/%d", i);
        assert_int_equal(module_put(board, path, "", 0, 200), i);
    }
    assert_int_equal(module_put(board, "/one-more", "", 0, 200), MODULE_NONE);
    assert_int_equal(board->module_count, MODULE_MAX);
    free(board);
}

/* The very numbers: they are in users' files, and must stay as they are. */
static void site_ids_never_change(void **state)
{
    (void)state;
    const struct stack_frame frames[] = {{module_key("/usr/sbin/nginx"), 0x3b1f0}, {module_key("nginx"), 0x2000}};
    assert_int_equal(module_key("/usr/sbin/nginx"), UINT32_C(0xffa17759));
    assert_int_equal(stack_id(CALL_accept4, frames, 2), UINT64_C(0x39c84bcd1a35a980));
    assert_int_not_equal(stack_id(CALL_accept, frames, 2), stack_id(CALL_accept4, frames, 2));
    assert_int_not_equal(stack_id(CALL_accept4, frames, 1), stack_id(CALL_accept4, frames, 2));
    assert_int_not_equal(stack_id(CALL_accept4, frames, 0), 0);
}

static void a_collision_of_ids_is_noticed(void **state)
{
    (void)state;
    struct board *board = begin_sites(0);
    struct stack *stack = put(board, 77, 0x100);
    assert_non_null(stack);
    assert_ptr_equal(put(board, 77, 0x100), stack);
    assert_int_equal(board->stacks_lost, 0);
    assert_null(put(board, 77, 0x101));
    assert_int_equal(board->stacks_lost, 1);
    assert_int_equal(stack->frames[0], frame(NGINX, 0x100));
    struct stack *beside = put(board, 77 + STACK_MAX, 0x101); /* the same place in the table, but another id */
    assert_ptr_equal(beside, stack + 1);
    /* Another file with that name and the same code is the same site. */
    assert_int_equal(module_put(board, "/opt/nginx", "", 0, 1), 2);
    const uint64_t frames[] = {frame(2, 0x100), frame(LIBEVENT, 0x500)};
    assert_ptr_equal(board_stack(board, stack_put(board, 77, CALL_accept4, frames, 2)), stack);
    assert_int_equal(board->stacks_lost, 1);
    free(board);
}

/* One that died between taking the place and filling it leaves it to the next. */
static void a_stack_that_was_left_half_written_is_finished(void **state)
{
    (void)state;
    struct board *board = begin_sites(0);
    board_stack(board, 77)->id = 77;
    struct stack *stack = put(board, 77, 0x100);
    assert_ptr_equal(stack, board_stack(board, 77));
    assert_int_equal(stack->state, 1);
    assert_int_equal(stack->count, 2);
    free(board);
}

static void a_full_table_of_stacks_is_counted(void **state)
{
    (void)state;
    struct board *board = begin_sites(0);
    for (uint64_t i = 0; i < STACK_MAX; i++)
        assert_non_null(put(board, 1000 + i * 3, 0x100 + i));
    assert_null(put(board, 500, 0x100));
    assert_int_equal(board->stacks_lost, 1);
    assert_non_null(put(board, 1000, 0x100)); /* those that are there are found */
    free(board);
}

static void *put_many(void *data)
{
    struct board *board = data;
    for (uint64_t i = 1; i <= 2000; i++)
        if (!put(board, i * UINT64_C(0x9e3779b97f4a7c15), i))
            return data;
    return NULL;
}

static void stacks_are_put_once_by_many_threads(void **state)
{
    (void)state;
    struct board *board = begin_sites(0);
    pthread_t threads[4];
    void *failed = NULL;
    uint32_t used = 0;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, put_many, board), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    for (uint32_t i = 0; i < STACK_MAX; i++)
        used += board_stack(board, i)->id != 0;
    assert_int_equal(used, 2000);
    free(board);
}

/* As snag does it: ranges first, then the number that makes stacks look, then what says that it is done. */
static void resolve(struct board *board, uint16_t module, uint16_t pattern, uint64_t from, uint64_t to)
{
    uint32_t count = board->range_count;
    *board_range(board, count) = (struct range){from, to, module, pattern, 0};
    board->range_count = count + 1;
    board->range_generation++;
    board_module(board, module)->resolved = pattern + 1u;
}

static void caller_is_the_innermost_frame_and_stack_is_any(void **state)
{
    (void)state;
    struct rule *rule = add_rule();
    rule->filters = IF_CALLER;
    rule = add_rule();
    rule->filters = IF_STACK;
    struct board *board = begin_sites(1);
    fake.site = put(board, 77, 0x100);
    assert_int_equal(decide_once(board), 0);
    assert_int_equal(board->unresolved, 2);
    resolve(board, LIBEVENT, 0, 0x500, 0x501);
    assert_int_equal(decide_once(board), 2);
    assert_int_equal(board->unresolved, 4); /* nginx is not looked into yet: it could still hold the caller */
    resolve(board, NGINX, 0, 0x101, 0x200);
    assert_int_equal(decide_once(board), 2);
    resolve(board, NGINX, 0, 0x80, 0x100);
    assert_int_equal(decide_once(board), 2);
    resolve(board, NGINX, 0, 0x80, 0x101);
    assert_int_equal(decide_once(board), 1);
    assert_int_equal(board->unresolved, 4);
    fake.site = NULL;
    assert_int_equal(decide_once(board), 0);
    free(board);
}

static void a_site_is_asked_after_the_cheap_filters(void **state)
{
    (void)state;
    struct rule *rule = add_rule();
    rule->filters = IF_SITE | IF_FD;
    rule->fd = 6;
    rule->site = 77;
    struct board *board = begin_sites(0);
    fake.site = put(board, 77, 0x100);
    assert_int_equal(decide_about(board, CALL_accept4, 5), 0);
    assert_int_equal(fake.asked, 0);
    assert_int_equal(decide_about(board, CALL_accept4, 6), 1);
    assert_int_equal(fake.asked, 1);
    fake.site = put(board, 78, 0x101);
    assert_int_equal(decide_about(board, CALL_accept4, 6), 0);
    free(board);
}

static void calls_know_their_names_and_numbers(void **state)
{
    (void)state;
    for (enum call call = 0; call < CALL_COUNT; call++) {
        const struct call_info *info = call_info(call);
        assert_int_equal(call_by_name(info->name, strlen(info->name)), call);
        if (info->number != NR_NONE)
            assert_int_equal(call_by_number(info->number), call);
        assert_true(call_errno_count(call) > 0);
        for (size_t i = 0; i < call_errno_count(call); i++) {
            assert_int_equal(info->errnos[i].call, call);
            assert_ptr_equal(call_errno(call, info->errnos[i].number), &info->errnos[i]); /* and listed once */
        }
    }
    assert_int_equal(call_by_name("accept44", 8), CALL_NONE);
    assert_int_equal(call_by_name("accept4", 6), CALL_accept);
    assert_int_equal(call_by_number(-1), CALL_NONE);
    assert_null(call_errno(CALL_accept4, ENOENT));
}

TEST_MAIN(TEST(when_agrees_with_a_walk), TEST(when_reaches_the_last_ordinal), TEST(prob_is_pure_and_fair),
          TEST(prob_decides_by_the_draw), TEST(prob_0_never_and_1_always),
          TEST(times_and_ordinals_are_exact_under_threads), TEST(first_that_triggers_acts_and_all_count),
          TEST(a_list_of_calls_shares_one_ordinal), TEST(scopes_count_where_the_backend_says),
          TEST(filters_hold_before_anything_counts), TEST(address_filters), TEST(path_and_name_filters),
          TEST(window_starts_at_ready_or_at_start), TEST(pending_is_asked_last), TEST(tampering_needs_an_address),
          TEST(emfile_gives_way_while_there_is_room), TEST(sticky_never_gives_way),
          TEST(a_missed_fault_gives_its_time_back), TEST(einval_is_repeated_to_the_fallback),
          TEST(enosys_lets_the_fallback_through), TEST(a_fallback_elsewhere_is_a_call_of_its_own),
          TEST(a_rule_for_accept_alone_sees_the_fallback), TEST(nothing_fires_or_counts_while_paused_or_gone),
          TEST(a_board_is_refused_in_every_shorter_length), TEST(a_damaged_board_is_refused),
          TEST(mutated_boards_are_refused_or_usable), TEST(a_rule_that_stays_keeps_its_counts),
          TEST(a_new_rule_starts_at_zero_in_each_scope), TEST(a_late_miss_does_not_reach_a_later_rule),
          TEST(windows_of_later_rules_begin_with_them), TEST(wanted_follows_the_plan),
          TEST(too_large_a_plan_changes_nothing), TEST(a_decision_begins_again_when_its_plan_is_gone),
          TEST(a_rule_that_acted_acts_once), TEST(each_decision_is_that_of_one_plan), TEST(globs),
          TEST(wanted_says_who_must_look), TEST(a_rule_for_a_site_needs_a_board_with_sites),
          TEST(modules_are_found_by_path_and_build), TEST(site_ids_never_change), TEST(a_collision_of_ids_is_noticed),
          TEST(a_stack_that_was_left_half_written_is_finished), TEST(a_full_table_of_stacks_is_counted),
          TEST(stacks_are_put_once_by_many_threads), TEST(caller_is_the_innermost_frame_and_stack_is_any),
          TEST(a_site_is_asked_after_the_cheap_filters), TEST(calls_know_their_names_and_numbers))
