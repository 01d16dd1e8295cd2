/* plan_fuzz.c - the input is a plan file, and its first line an -e argument. */
#include "fuzz.h"

#include <string.h>
#include <sys/mman.h>

#include "engine/board.h"
#include "plan/plan.h"

/* Memory for a board whose header and plan are zeroed anew; the rest stays as the kernel made it. */
static void *board_memory(void)
{
    static void *memory;
    if (memory == NULL)
        memory = mmap(NULL, board_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    FUZZ_MUST(memory != MAP_FAILED);
    memset(memory, 0, board_sites_at());
    return memory;
}

/* What the parser takes, the shim takes. */
static void check_board(const struct rule_set *set)
{
    void *memory = board_memory();
    FUZZ_MUST(board_make(memory, board_size(), set, 1) == memory);
    FUZZ_MUST(board_fault(memory, board_size()) == NULL);
}

/* A rule as it is shown is a rule, and the same one. */
static void check_text(const char *text)
{
    struct plan *plan = plan_new();
    FUZZ_MUST(plan != NULL && plan_add(plan, text, fuzz_sink()) == 0);
    FUZZ_MUST(plan_rule_count(plan) == 1 && strcmp(plan_rule_text(plan, 0), text) == 0);
    plan_free(plan);
}

static void check_plan(const struct plan *plan)
{
    static struct rule_set set;
    for (size_t i = 0; i < plan_rule_count(plan); i++) {
        plan_describe(plan, i, fuzz_sink());
        check_text(plan_rule_text(plan, i));
    }
    FUZZ_MUST(plan_compile(plan, false, &set) == 0);
    check_board(&set);
    if (plan_compile(plan, true, &set) == 0)
        check_board(&set);
    else
        FUZZ_MUST(plan_board_rules(plan, true) > RULE_MAX);
}

static void try_file(const uint8_t *data, size_t size)
{
    struct plan *plan = plan_new();
    FUZZ_MUST(plan != NULL);
    if (plan_add_file(plan, fuzz_file(data, size), fuzz_sink()) != 0)
        FUZZ_MUST(plan_rule_count(plan) == 0);
    check_plan(plan);
    plan_free(plan);
}

static void try_expression(const uint8_t *data, size_t size)
{
    const uint8_t *newline = memchr(data, '\n', size);
    char *expression = strndup((const char *)data, newline ? (size_t)(newline - data) : size);
    struct plan *plan = plan_new();
    FUZZ_MUST(plan != NULL && expression != NULL);
    if (plan_add(plan, expression, fuzz_sink()) != 0)
        FUZZ_MUST(plan_rule_count(plan) == 0);
    check_plan(plan);
    plan_free(plan);
    free(expression);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    try_file(data, size);
    try_expression(data, size);
    return 0;
}
