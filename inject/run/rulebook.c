#include "run/rulebook.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "plan/plan_rules.h"

enum { NO_TALLY = TALLY_MAX };

struct entry {
    uint32_t number;
    char *text, *name;
    uint32_t actions;
    bool deleted;
    uint32_t tally; /* NO_TALLY: it was given to another rule */
    uint32_t serial;
    int caller, stack; /* patterns, or -1 */
    uint64_t since_ns;
    struct rulebook_counts before; /* before the last reset, ... */
    struct rulebook_counts last;   /* ... and since then, once the tally is gone */
    uint8_t *slots;                /* one for each rule of the board that this one is split into */
    size_t slot_count;
};

struct rulebook {
    struct plan *plan; /* its rules are those in force, in the order of `live` */
    bool strace_counts;
    struct board *board;
    struct rulebook_session session;
    struct entry *entries;
    size_t count, room;
    size_t live[RULE_MAX];    /* entries of the plan's rules */
    size_t owners[TALLY_MAX]; /* entries that had a tally last, plus 1 */
    uint32_t next_number, next_serial, next_tally;
    struct rule_set *set; /* to compile into */
};

_Static_assert(RULE_MAX <= UINT8_MAX + 1, "a slot fits into a byte");

/* --- Entries ------------------------------------------------------------------------------------------------------ */

static void entry_clear(struct entry *entry)
{
    free(entry->text);
    free(entry->name);
    free(entry->slots);
}

/* Numbers are never given twice, and their low 16 bits, which records carry, are never 0. */
static uint32_t take_number(struct rulebook *book)
{
    if ((uint16_t)book->next_number == 0)
        book->next_number++;
    return book->next_number++;
}

/* Returns a new entry for rule I of the plan, which is counted but not yet in force; NULL with errno ENOMEM. */
static struct entry *entry_new(struct rulebook *book, size_t i)
{
    const char *name = plan_rule_name(book->plan, i);
    if (book->count == book->room) {
        size_t room = book->room ? 2 * book->room : 16;
        struct entry *more = realloc(book->entries, room * sizeof *more);
        if (more == NULL)
            return NULL;
        book->entries = more;
        book->room = room;
    }
    struct entry *entry = &book->entries[book->count];
    *entry = (struct entry){.text = strdup(plan_rule_text(book->plan, i)),
                            .name = name != NULL ? strdup(name) : NULL,
                            .actions = plan_rule(book->plan, i)->rule.actions,
                            .tally = NO_TALLY,
                            .caller = -1,
                            .stack = -1,
                            .slots = malloc(CALL_COUNT)};
    if (entry->text == NULL || (name != NULL && entry->name == NULL) || entry->slots == NULL) {
        entry_clear(entry);
        errno = ENOMEM;
        return NULL;
    }
    book->live[i] = book->count++;
    return entry;
}

static struct entry *live_entry(const struct rulebook *book, size_t i)
{
    return &book->entries[book->live[i]];
}

/* --- Counts ------------------------------------------------------------------------------------------------------- */

static void add_counts(struct rulebook_counts *sum, const struct rulebook_counts *more)
{
    sum->matched += more->matched;
    sum->injected += more->injected;
    sum->missed += more->missed;
    sum->yielded += more->yielded;
}

static struct rulebook_counts counts_of_tally(const struct rulebook *book, uint32_t index)
{
    const struct tally *tally = board_tally(book->board, index);
    return (struct rulebook_counts){.matched = tally_count(&tally->matched),
                                    .injected = tally_count(&tally->injected),
                                    .missed = tally_count(&tally->missed),
                                    .yielded = tally_count(&tally->yielded)};
}

static struct rulebook_counts present_counts(const struct rulebook *book, const struct entry *entry)
{
    return entry->tally == NO_TALLY ? entry->last : counts_of_tally(book, entry->tally);
}

/* The tally of ENTRY is about to be another's. */
static void give_tally_up(struct rulebook *book, struct entry *entry)
{
    entry->last = present_counts(book, entry);
    entry->tally = NO_TALLY;
}

/*
 * Gives the entry at INDEX a tally to begin with: of all that no rule in force has, the one that was given up first, so that
 * calls that are still under way are counted by the rule that decided them.
 */
static void take_tally(struct rulebook *book, size_t index)
{
    for (;;) {
        uint32_t tally = book->next_tally;
        size_t owner = book->owners[tally];
        struct entry *entry = owner > 0 ? &book->entries[owner - 1] : NULL;
        bool has = entry != NULL && entry->tally == tally;
        book->next_tally = tally + 1 < TALLY_MAX ? tally + 1 : RULE_MAX;
        if (has && !entry->deleted)
            continue;
        if (has)
            give_tally_up(book, entry);
        book->owners[tally] = index + 1;
        book->entries[index].tally = tally;
        return;
    }
}

/* --- Putting a plan in force -------------------------------------------------------------------------------------- */

/* Gives the entry of rule I of the plan as many slots as it is split into, of those that no rule in force has. */
static void take_slots(struct rulebook *book, size_t i, size_t wanted)
{
    bool taken[RULE_MAX] = {false};
    struct entry *entry = live_entry(book, i);
    for (size_t j = 0; j < plan_rule_count(book->plan); j++)
        for (size_t k = 0; j != i && k < live_entry(book, j)->slot_count; k++)
            taken[live_entry(book, j)->slots[k]] = true;
    entry->slot_count = 0;
    for (unsigned slot = 0; slot < RULE_MAX && entry->slot_count < wanted; slot++)
        if (!taken[slot])
            entry->slots[entry->slot_count++] = (uint8_t)slot;
}

/* Compiles the plan into book->set, with what the entries know of its rules.  The plan fits: that was checked. */
static void compile(struct rulebook *book)
{
    size_t of_rule[RULE_MAX] = {0};
    struct rule_set *set = book->set;
    plan_compile(book->plan, book->strace_counts, set);
    for (uint32_t i = 0; i < set->count; i++)
        of_rule[set->rules[i].tally]++;
    for (size_t i = 0; i < plan_rule_count(book->plan); i++)
        if (live_entry(book, i)->slot_count == 0)
            take_slots(book, i, of_rule[i]);
    memset(of_rule, 0, sizeof of_rule);
    for (uint32_t i = 0; i < set->count; i++) {
        struct rule *rule = &set->rules[i];
        size_t index = rule->tally;
        const struct entry *entry = live_entry(book, index);
        rule->number = entry->number;
        rule->serial = entry->serial;
        rule->tally = entry->tally;
        rule->since_ns = entry->since_ns;
        rule->slot = entry->slots[of_rule[index]++];
        rule->caller_pattern = (uint16_t)(entry->caller >= 0 ? entry->caller : 0);
        rule->stack_pattern = (uint16_t)(entry->stack >= 0 ? entry->stack : 0);
    }
}

static void put_in_force(struct rulebook *book)
{
    compile(book);
    board_publish(book->board, book->set);
}

/* --- The beginning and the end ------------------------------------------------------------------------------------ */

/* Those of the plan that the session begins with are numbered by plan_compile(). */
static void keep_patterns(struct entry *entry, const struct rule *rule)
{
    if (rule->filters & IF_CALLER)
        entry->caller = rule->caller_pattern;
    if (rule->filters & IF_STACK)
        entry->stack = rule->stack_pattern;
}

/* Enters the rules of the plan that the session begins with.  Returns -1 with errno. */
static int enter_plan(struct rulebook *book)
{
    if (plan_board_rules(book->plan, book->strace_counts) > RULE_MAX) {
        errno = E2BIG;
        return -1;
    }
    for (size_t i = 0; i < plan_rule_count(book->plan); i++) {
        struct entry *entry = entry_new(book, i);
        if (entry == NULL)
            return -1;
        entry->number = take_number(book);
        entry->tally = (uint32_t)i;
    }
    plan_compile(book->plan, book->strace_counts, book->set);
    for (uint32_t i = 0; i < book->set->count; i++)
        keep_patterns(live_entry(book, book->set->rules[i].tally), &book->set->rules[i]);
    compile(book);
    return 0;
}

struct rulebook *rulebook_new(struct plan *plan, bool strace_counts)
{
    struct rulebook *book = calloc(1, sizeof *book);
    if (book == NULL)
        return NULL;
    book->plan = plan;
    book->strace_counts = strace_counts;
    book->next_number = book->next_serial = 1;
    book->next_tally = RULE_MAX;
    book->set = malloc(sizeof *book->set);
    if (book->set != NULL && enter_plan(book) == 0)
        return book;
    int error = errno;
    rulebook_free(book);
    errno = error;
    return NULL;
}

void rulebook_free(struct rulebook *book)
{
    if (book == NULL)
        return;
    for (size_t i = 0; i < book->count; i++)
        entry_clear(&book->entries[i]);
    free(book->entries);
    free(book->set);
    free(book);
}

void rulebook_begin(const struct rulebook *book, struct rule_set *out)
{
    *out = *book->set;
}

void rulebook_set_board(struct rulebook *book, struct board *board, const struct rulebook_session *session)
{
    book->board = board;
    book->session = *session;
}

/* --- Changes ------------------------------------------------------------------------------------------------------ */

/* Takes one text into the plan.  Returns -1 with errno, having said why. */
static int parse_one(struct rulebook *book, const char *text, FILE *errors)
{
    size_t before = plan_rule_count(book->plan);
    if (plan_add(book->plan, text, errors) != 0)
        return -1;
    if (plan_rule_count(book->plan) == before) {
        fprintf(errors, "snag: %s: expected a rule; which calls are traced is settled when a session begins\n", text);
        errno = EINVAL;
        return -1;
    }
    if (plan_board_rules(book->plan, book->strace_counts) > RULE_MAX) {
        fprintf(errors,
                "snag: %s: too many rules: with --strace-counts, each call of a rule counts for one, and %d fit\n",
                text, RULE_MAX);
        errno = E2BIG;
        return -1;
    }
    return 0;
}

static int parse_all(struct rulebook *book, const char *const *texts, size_t count, FILE *errors)
{
    for (size_t i = 0; i < count; i++)
        if (parse_one(book, texts[i], errors) != 0)
            return -1;
    return 0;
}

/* Finds the pattern TEXT of rule I, NULL for none.  Returns -1 with errno, having said why. */
static int find_pattern(struct rulebook *book, size_t i, const char *text, int *pattern, FILE *errors)
{
    if (text == NULL)
        return 0;
    *pattern = book->session.pattern(book->session.context, text);
    if (*pattern >= 0)
        return 0;
    int error = errno;
    fprintf(errors, "snag: %s: ", plan_rule_text(book->plan, i));
    if (error == E2BIG)
        fprintf(errors,
                "the rules of a session, deleted ones too, may name %d functions in caller= and stack= in all\n",
                PATTERN_MAX);
    else if (error == ENOSPC)
        fprintf(errors, "too many functions have such a name: they make more than %d ranges of addresses\n", RANGE_MAX);
    else
        fprintf(errors, "can't look for %s: %s\n", text, strerror(error));
    errno = error;
    return -1;
}

/* Finds out what rule I, a new one, needs of call sites.  Returns -1 with errno, having said why. */
static int find_sites(struct rulebook *book, size_t i, FILE *errors)
{
    const struct plan_rule *rule = plan_rule(book->plan, i);
    struct entry *entry = live_entry(book, i);
    if (!rule_needs_site(&rule->rule))
        return 0;
    const char *why_not = book->session.why_not(book->session.context);
    if (why_not != NULL) {
        fprintf(errors, "snag: %s: %s\n", plan_rule_text(book->plan, i), why_not);
        errno = ENOTSUP;
        return -1;
    }
    if (find_pattern(book, i, rule->caller, &entry->caller, errors) != 0)
        return -1;
    return find_pattern(book, i, rule->stack, &entry->stack, errors);
}

/* Whether the session can't do rule I, a new one, which is said. */
static bool is_refused(const struct rulebook *book, size_t i, FILE *errors)
{
    struct rule rule = plan_rule(book->plan, i)->rule;
    char *words = NULL;
    size_t size;
    if (book->session.refuses == NULL)
        return false;
    rule_set_effects(&rule);
    FILE *file = open_memstream(&words, &size);
    bool refused = file == NULL || book->session.refuses(book->session.context, &rule, file);
    if (file != NULL)
        fclose(file);
    if (refused)
        fprintf(errors, "snag: %s: %s\n", plan_rule_text(book->plan, i), words != NULL ? words : "no memory");
    free(words);
    return refused;
}

/* Makes rule I of the plan begin now. */
static void begin_rule(struct rulebook *book, size_t i, uint64_t now_ns)
{
    struct entry *entry = live_entry(book, i);
    entry->serial = book->next_serial++;
    entry->since_ns = now_ns;
    take_tally(book, book->live[i]);
}

int rulebook_add(struct rulebook *book, const char *const *texts, size_t count, uint64_t now_ns, uint32_t *numbers,
                 FILE *errors)
{
    struct plan_mark mark = plan_mark(book->plan);
    size_t first = plan_rule_count(book->plan), entries = book->count;
    int error = 0;
    if (parse_all(book, texts, count, errors) != 0)
        error = errno;
    for (size_t i = first; error == 0 && i < plan_rule_count(book->plan); i++)
        if (entry_new(book, i) == NULL) {
            fputs("snag: no memory for the rule\n", errors);
            error = ENOMEM;
        }
    for (size_t i = first; error == 0 && i < plan_rule_count(book->plan); i++)
        if (is_refused(book, i, errors))
            error = ENOTSUP;
        else if (find_sites(book, i, errors) != 0)
            error = errno;
    if (error != 0) {
        while (book->count > entries)
            entry_clear(&book->entries[--book->count]);
        plan_back_to(book->plan, &mark);
        errno = error;
        return -1;
    }
    for (size_t i = first; i < plan_rule_count(book->plan); i++) {
        struct entry *entry = live_entry(book, i);
        entry->number = take_number(book);
        begin_rule(book, i, now_ns);
        if (numbers != NULL)
            numbers[i - first] = entry->number;
    }
    put_in_force(book);
    return 0;
}

/* Whether WORD (a number, a name, name=NAME) means ENTRY. */
static bool means(const char *word, const struct entry *entry)
{
    static const char prefix[] = "name=";
    char number[16];
    snprintf(number, sizeof number, "%u", entry->number);
    if (strncmp(word, prefix, sizeof prefix - 1) == 0)
        return entry->name != NULL && strcmp(word + sizeof prefix - 1, entry->name) == 0;
    return strcmp(word, number) == 0 || (entry->name != NULL && strcmp(word, entry->name) == 0);
}

static void say_unknown(const struct rulebook *book, const char *word, FILE *errors)
{
    for (size_t i = 0; i < book->count; i++)
        if (book->entries[i].deleted && means(word, &book->entries[i])) {
            fprintf(errors, "snag: rule %s was deleted already\n", word);
            return;
        }
    fprintf(errors, "snag: no rule %s; in force are:", word);
    for (size_t i = 0; i < plan_rule_count(book->plan); i++) {
        const struct entry *entry = live_entry(book, i);
        fprintf(errors, "%s %u%s%s", i ? "," : "", entry->number, entry->name ? " name=" : "",
                entry->name ? entry->name : "");
    }
    fputs(plan_rule_count(book->plan) ? "\n" : " none\n", errors);
}

/* Marks the rules of the plan that the words mean.  Returns how many, or -1 with errno, having said why. */
static ssize_t choose(const struct rulebook *book, const char *const *words, size_t count, bool chosen[RULE_MAX],
                      uint32_t *numbers, FILE *errors)
{
    ssize_t sum = 0;
    size_t rules = plan_rule_count(book->plan);
    for (size_t i = 0; i < rules; i++)
        chosen[i] = count == 0;
    for (size_t w = 0; w < count; w++) {
        bool found = false;
        for (size_t i = 0; i < rules; i++)
            if (means(words[w], live_entry(book, i)))
                chosen[i] = found = true;
        if (!found) {
            say_unknown(book, words[w], errors);
            errno = ENOENT;
            return -1;
        }
    }
    for (size_t i = 0; i < rules; i++)
        if (chosen[i])
            numbers[sum++] = live_entry(book, i)->number;
    return sum;
}

ssize_t rulebook_delete(struct rulebook *book, const char *const *words, size_t count, uint32_t *numbers, FILE *errors)
{
    bool chosen[RULE_MAX] = {false};
    ssize_t sum = choose(book, words, count, chosen, numbers, errors);
    if (sum <= 0)
        return sum;
    for (size_t i = plan_rule_count(book->plan); i-- > 0;) {
        if (!chosen[i])
            continue;
        live_entry(book, i)->deleted = true;
        plan_remove(book->plan, i);
        memmove(&book->live[i], &book->live[i + 1], (plan_rule_count(book->plan) - i) * sizeof book->live[0]);
    }
    put_in_force(book);
    return sum;
}

ssize_t rulebook_reset(struct rulebook *book, const char *const *words, size_t count, uint64_t now_ns,
                       uint32_t *numbers, FILE *errors)
{
    bool chosen[RULE_MAX] = {false};
    uint32_t old[RULE_MAX] = {0};
    ssize_t sum = choose(book, words, count, chosen, numbers, errors);
    if (sum <= 0)
        return sum;
    for (size_t i = 0; i < plan_rule_count(book->plan); i++) {
        old[i] = live_entry(book, i)->tally;
        if (chosen[i])
            begin_rule(book, i, now_ns);
    }
    put_in_force(book);
    /* Only now do the old tallies stand still; that many have not been given to others since. */
    for (size_t i = 0; i < plan_rule_count(book->plan); i++) {
        struct rulebook_counts counts = counts_of_tally(book, old[i]);
        if (chosen[i])
            add_counts(&live_entry(book, i)->before, &counts);
    }
    return sum;
}

/* --- Telling ------------------------------------------------------------------------------------------------------ */

size_t rulebook_count(const struct rulebook *book)
{
    return book->count;
}

static struct rulebook_rule tell(const struct entry *entry)
{
    return (struct rulebook_rule){.number = entry->number,
                                  .text = entry->text,
                                  .name = entry->name,
                                  .actions = entry->actions,
                                  .deleted = entry->deleted,
                                  .caller = entry->caller,
                                  .stack = entry->stack};
}

struct rulebook_rule rulebook_at(const struct rulebook *book, size_t index)
{
    return tell(&book->entries[index]);
}

bool rulebook_find(const struct rulebook *book, uint16_t rule, struct rulebook_rule *out)
{
    const size_t round = UINT16_MAX; /* numbers from one that has these low bits to the next */
    if (rule == 0 || rule > book->count)
        return false;
    size_t first = rule - 1u;
    *out = tell(&book->entries[first + (book->count - 1 - first) / round * round]);
    return true;
}

struct rulebook_counts rulebook_counts(const struct rulebook *book, size_t index, bool since_reset)
{
    const struct entry *entry = &book->entries[index];
    struct rulebook_counts counts = present_counts(book, entry);
    if (!since_reset)
        add_counts(&counts, &entry->before);
    return counts;
}

struct rulebook_counts rulebook_sums(const struct rulebook *book)
{
    struct rulebook_counts sums = {0};
    for (size_t i = 0; i < book->count; i++) {
        struct rulebook_counts counts = rulebook_counts(book, i, false);
        add_counts(&sums, &counts);
    }
    return sums;
}

size_t rulebook_idle(const struct rulebook *book)
{
    size_t idle = 0;
    for (size_t i = 0; i < book->count; i++) {
        struct rulebook_counts counts = rulebook_counts(book, i, false);
        idle += !rulebook_fired(&counts);
    }
    return idle;
}
