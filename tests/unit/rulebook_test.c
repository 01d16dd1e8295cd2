/*
 * rulebook_test.c - the rules of a session while they are added, deleted and reset, on a board in plain memory.
 */
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/decide.h"
#include "run/rulebook.h"

/* A session: its plan, its book, its board; and what was said of the last mistake. */
static struct plan *plan;
static struct rulebook *book;
static struct board *board;
static char *said;
static uint32_t numbers[RULE_MAX];

static _Atomic uint64_t counters[RULE_MAX];

static _Atomic uint64_t *counter_of(const struct scene *scene, uint32_t slot, enum rule_scope scope)
{
    (void)scene, (void)scope;
    return &counters[slot];
}

static bool no_room(const struct scene *scene, uint32_t slot, uint32_t serial, int32_t error, bool firing)
{
    (void)scene, (void)slot, (void)serial, (void)error, (void)firing;
    return false;
}

/* Makes a call.  Returns the number of the rule that acts, 0 for none; *NTH is its ordinal. */
static uint32_t make_call(enum call call, uint32_t *nth)
{
    static const struct scene_ops ops = {.counter = counter_of, .room = no_room};
    struct scene scene = {.ops = &ops, .call = call, .fd = 3, .has_address = true};
    struct decision decision;
    bool acts = decide(board, &scene, &decision);
    if (nth != NULL)
        *nth = acts ? decision.nth : 0;
    return acts ? decision.rule->number : 0;
}

/* Call sites, as far as rules need them. */
static struct {
    const char *why_not;
    char patterns[PATTERN_MAX][16];
    size_t count, room;
} fake;

static const char *fake_why_not(void *context)
{
    assert_ptr_equal(context, &fake);
    return fake.why_not;
}

static int fake_pattern(void *context, const char *text)
{
    assert_ptr_equal(context, &fake);
    for (size_t i = 0; i < fake.count; i++)
        if (strcmp(fake.patterns[i], text) == 0)
            return (int)i;
    if (fake.count == fake.room) {
        errno = E2BIG;
        return -1;
    }
    strcpy(fake.patterns[fake.count], text);
    atomic_store(&board->pattern_count, (uint32_t)fake.count + 1);
    return (int)fake.count++;
}

static const struct rulebook_session sites_of_rules = {
    .why_not = fake_why_not, .pattern = fake_pattern, .context = &fake};

static void begin(bool strace_counts, const char *const *rules)
{
    struct rule_set *set = malloc(sizeof *set);
    size_t size = board_size();
    plan = plan_new();
    for (; *rules != NULL; rules++)
        assert_int_equal(plan_add(plan, *rules, stderr), 0);
    book = rulebook_new(plan, strace_counts);
    board = aligned_alloc(4096, (size + 4095) & ~(size_t)4095);
    assert_non_null(book);
    assert_non_null(board);
    assert_non_null(set);
    memset(board, 0, size);
    rulebook_begin(book, set);
    assert_ptr_equal(board_make(board, size, set, 1), board);
    board->lease_at = offsetof(struct board, lease_mutex);
    board->lease_mutex[0] = 1;
    rulebook_set_board(book, board, &sites_of_rules);
    free(set);
}

static void end(void)
{
    assert_null(board_fault(board, board_size()));
    rulebook_free(book);
    plan_free(plan);
    free(board);
    free(said);
    said = NULL;
}

/* Opens and closes the text that mistakes are written to. */
static FILE *listen_to(size_t *size)
{
    free(said);
    FILE *errors = open_memstream(&said, size);
    assert_non_null(errors);
    return errors;
}

static int add(const char *text)
{
    size_t size;
    FILE *errors = listen_to(&size);
    int result = rulebook_add(book, &text, 1, 1, numbers, errors);
    fclose(errors);
    return result;
}

static ssize_t del(const char *word)
{
    size_t size;
    FILE *errors = listen_to(&size);
    ssize_t result = rulebook_delete(book, &word, word != NULL, numbers, errors);
    fclose(errors);
    return result;
}

static ssize_t reset(const char *word)
{
    size_t size;
    FILE *errors = listen_to(&size);
    ssize_t result = rulebook_reset(book, &word, word != NULL, 1, numbers, errors);
    fclose(errors);
    return result;
}

static struct rulebook_counts counts_of(size_t index)
{
    return rulebook_counts(book, index, false);
}

static void rules_come_and_go_and_keep_their_numbers(void **state)
{
    (void)state;
    uint32_t nth;
    begin(false, (const char *const[]){"accept:error=EMFILE:when=1..2:name=first", "listen:error=EADDRINUSE", NULL});
    assert_int_equal(make_call(CALL_accept, &nth), 1);
    assert_int_equal(add("accept,listen:error=ENOBUFS:force"), 0);
    assert_int_equal(numbers[0], 3);
    assert_int_equal(make_call(CALL_accept, &nth), 1);
    assert_int_equal(nth, 2);
    assert_int_equal(make_call(CALL_accept, &nth), 3);
    assert_int_equal(nth, 2); /* it has counted the call before, on which rule 1 acted */
    assert_int_equal(del("name=first"), 1);
    assert_int_equal(numbers[0], 1);
    assert_int_equal(make_call(CALL_accept, &nth), 3);
    assert_int_equal(make_call(CALL_listen, NULL), 2);
    assert_int_equal(add("accept:error=EMFILE"), 0);
    assert_int_equal(numbers[0], 4);
    assert_int_equal(counts_of(0).matched, 3);
    assert_int_equal(counts_of(0).injected, 2);
    assert_true(rulebook_at(book, 0).deleted);
    assert_int_equal(del(NULL), 3);
    assert_int_equal(make_call(CALL_accept, NULL), 0);
    assert_int_equal(rulebook_sums(book).injected, 5);
    assert_int_equal(rulebook_idle(book), 1);
    end();
}

static void a_reset_begins_anew_and_the_sums_stay(void **state)
{
    (void)state;
    begin(false,
          (const char *const[]){"accept:error=EMFILE:when=1", "listen:error=EADDRINUSE:per=thread:when=1", NULL});
    for (int round = 1; round <= 3; round++) {
        assert_int_equal(make_call(CALL_accept, NULL), 1);
        assert_int_equal(make_call(CALL_accept, NULL), 0);
        assert_int_equal(make_call(CALL_listen, NULL), 2);
        assert_int_equal(make_call(CALL_listen, NULL), 0);
        assert_int_equal(rulebook_counts(book, 0, true).matched, 2);
        assert_int_equal(rulebook_counts(book, 0, false).matched, 2 * round);
        assert_int_equal(rulebook_sums(book).injected, 2 * round);
        assert_int_equal(reset(NULL), 2);
        assert_int_equal(rulebook_counts(book, 1, true).matched, 0);
    }
    assert_int_equal(reset("2"), 1);
    assert_int_equal(numbers[0], 2);
    end();
}

static void a_mistake_changes_nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {"accept:error=ENFILE", "accept:error=EMFIL"};
    size_t size;
    begin(false, (const char *const[]){"accept:error=EMFILE", NULL});
    uint32_t stamp = board->plan_stamp;
    FILE *errors = listen_to(&size);
    assert_int_equal(rulebook_add(book, texts, 2, 1, numbers, errors), -1);
    fclose(errors);
    assert_non_null(strstr(said, "^~~~~"));
    assert_int_equal(add("trace=accept"), -1);
    assert_non_null(strstr(said, "expected a rule"));
    assert_false(plan_traces(plan, CALL_accept));
    assert_int_equal(del("7"), -1);
    assert_non_null(strstr(said, "no rule 7; in force are: 1"));
    assert_int_equal(reset("name=none"), -1);
    assert_int_equal(rulebook_count(book), 1);
    assert_int_equal(board->plan_stamp, stamp);
    assert_int_equal(del("1"), 1);
    assert_int_equal(del("1"), -1);
    assert_non_null(strstr(said, "deleted already"));
    assert_int_equal(add("accept:error=ENFILE"), 0);
    assert_int_equal(numbers[0], 2);
    end();
}

/* As many as fit, and again after they were deleted: what a plan holds is limited, what a session sees is not. */
static void rules_beyond_the_limit_are_refused(void **state)
{
    (void)state;
    begin(false, (const char *const[]){NULL});
    for (int round = 0; round < 12; round++) {
        for (unsigned i = 0; i < RULE_MAX; i++)
            assert_int_equal(add("accept:error=EMFILE:times=1"), 0);
        assert_int_equal(add("accept:error=EMFILE"), -1);
        assert_non_null(strstr(said, "too many rules"));
        for (unsigned i = 0; i < RULE_MAX; i++)
            assert_int_equal(make_call(CALL_accept, NULL), (unsigned)round * RULE_MAX + i + 1);
        assert_int_equal(make_call(CALL_accept, NULL), 0);
        assert_int_equal(del(NULL), RULE_MAX);
    }
    assert_int_equal(rulebook_sums(book).injected, 12 * RULE_MAX);
    assert_int_equal(rulebook_sums(book).matched, 12 * RULE_MAX * (RULE_MAX + 1));
    end();
}

/* Records carry 16 bits of a number, and tallies are used again: neither ends a session. */
static void a_session_outlives_its_numbers(void **state)
{
    (void)state;
    enum { ROUNDS = 66000 };
    struct rulebook_rule rule;
    begin(false, (const char *const[]){"listen:error=EADDRINUSE", NULL});
    for (unsigned i = 0; i < ROUNDS; i++) {
        assert_int_equal(add("accept:error=EMFILE:per=process:when=1"), 0);
        assert_int_not_equal((uint16_t)numbers[0], 0);
        assert_int_equal(make_call(CALL_accept, NULL), numbers[0]);
        assert_true(rulebook_find(book, (uint16_t)numbers[0], &rule) && rule.number == numbers[0]);
        assert_int_equal(del(NULL), i == 0 ? 2 : 1);
    }
    assert_int_equal(numbers[0], ROUNDS + 2); /* 65536 was left out */
    assert_int_equal(rulebook_sums(book).injected, ROUNDS);
    assert_false(rulebook_find(book, 0, &rule));
    end();
}

static void split_rules_share_a_number_and_not_a_counter(void **state)
{
    (void)state;
    uint32_t nth;
    begin(true, (const char *const[]){"accept,accept4:error=EMFILE:when=2", NULL});
    assert_int_equal(add("listen,bind:error=EADDRINUSE:when=2"), 0);
    assert_int_equal(make_call(CALL_listen, NULL), 0);
    assert_int_equal(make_call(CALL_bind, NULL), 0);
    assert_int_equal(make_call(CALL_listen, &nth), 2);
    assert_int_equal(nth, 2);
    assert_int_equal(make_call(CALL_accept, NULL), 0);
    assert_int_equal(make_call(CALL_accept4, NULL), 0);
    assert_int_equal(make_call(CALL_accept4, NULL), 1);
    assert_int_equal(counts_of(1).matched, 3);
    assert_int_equal(add("%all:delay_enter=1us"), 0);
    while (add("%all:delay_enter=1us") == 0)
        ;
    assert_non_null(strstr(said, "--strace-counts"));
    assert_int_equal(make_call(CALL_accept, NULL), 1);
    end();
}

TEST_MAIN(TEST(rules_come_and_go_and_keep_their_numbers), TEST(a_reset_begins_anew_and_the_sums_stay),
          TEST(a_mistake_changes_nothing), TEST(rules_beyond_the_limit_are_refused),
          TEST(a_session_outlives_its_numbers), TEST(split_rules_share_a_number_and_not_a_counter))
