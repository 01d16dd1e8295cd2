/* check.c - `snag check`: what a plan will do, in words, without doing it. */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "plan/diag.h"
#include "plan/page.h"
#include "plan/parse.h"
#include "plan/plan.h"
#include "version.h"

static const char usage[] = "usage: snag check [-e RULE]... [--plan FILE]... [--seed N] [--strace-counts]\n"
                            "\n"
                            "Says in words what each rule of a plan will do, and runs nothing.\n"
                            "\n"
                            "  -e, --inject RULE    a rule, as in accept4:error=EMFILE:when=1..50\n"
                            "      --plan FILE      the rules of a plan file\n"
                            "      --seed N         the seed of prob= (0)\n"
                            "      --strace-counts  count each call and each thread apart, as strace does\n"
                            "  -h, --help           this text\n"
                            "      --version        the version of snag\n"
                            "\n"
                            "Exit status: 0 if the plan holds no mistake, 125 otherwise.\n";

static const char hint[] = "snag: `snag check --help` says how it is used\n";

enum { OPTION_PLAN = 256, OPTION_SEED, OPTION_STRACE_COUNTS, OPTION_VERSION };

const struct option check_options[] = {
    {"inject", required_argument, NULL, 'e'},
    {"plan", required_argument, NULL, OPTION_PLAN},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"strace-counts", no_argument, NULL, OPTION_STRACE_COUNTS},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

struct check {
    struct plan *plan;
    bool strace_counts;
    const char *shown; /* --help or --version: this text instead */
    bool given;        /* an -e or a --plan */
    bool bad;          /* a mistake was found, and said */
};

/* Takes --seed=TEXT. */
static int check_seed(struct plan *plan, const char *text)
{
    struct diag diag = {.text = {text, strlen(text)}};
    uint64_t seed = 0;
    if (parse_number(&diag, diag.text, "the seed", 0, UINT64_MAX, &seed) < 0) {
        diag_print(&diag, stderr);
        return -1;
    }
    plan_set_seed(plan, seed);
    return 0;
}

/* Takes one option with its value.  Returns 0, or -1 after saying what is wrong with it. */
static int check_option(struct check *check, int option, const char *value)
{
    switch (option) {
    case 'e':
        check->given = true;
        return plan_add(check->plan, value, stderr);
    case OPTION_PLAN:
        check->given = true;
        return plan_add_file(check->plan, value, stderr);
    case OPTION_SEED:
        return check_seed(check->plan, value);
    case OPTION_STRACE_COUNTS:
        check->strace_counts = true;
        return 0;
    default:
        check->shown = option == 'h' ? usage : snag_version;
        return 0;
    }
}

/* Takes all options: every mistake is said, not the first alone. */
static void take_options(struct check *check, int argc, char **argv)
{
    int option;
    optind = 0; /* getopt starts again: the command line before the subcommand may have used it */
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":e:h", check_options, NULL)) != -1) {
        if (option != '?' && option != ':') {
            check->bad |= check_option(check, option, optarg) < 0;
            continue;
        }
        fprintf(stderr, "snag: check: %s '%s'\n%s", option == ':' ? "a value is missing after" : "unknown option",
                argv[optind - 1], hint);
        check->bad = true;
    }
}

static int check_arguments(struct check *check, int argc, char **argv)
{
    take_options(check, argc, argv);
    if (check->shown || check->bad)
        return check->shown ? 0 : -1;
    if (optind < argc) {
        fprintf(stderr, "snag: check: unexpected argument '%s'; a rule goes behind -e, a file behind --plan\n%s",
                argv[optind], hint);
        return -1;
    }
    if (!check->given) {
        fprintf(stderr, "snag: check: nothing to check; give a rule with -e or a file with --plan\n%s", hint);
        return -1;
    }
    size_t rules = plan_board_rules(check->plan, check->strace_counts);
    if (rules > RULE_MAX) {
        fprintf(stderr, "snag: --strace-counts makes %zu rules of this plan, a rule for each call; a plan holds %d\n",
                rules, RULE_MAX);
        return -1;
    }
    return 0;
}

/* Prints what rule I does, wrapped.  Returns 0, or -1 when there is no memory. */
static int print_words(const struct plan *plan, size_t i, FILE *out)
{
    char *words = NULL;
    size_t size;
    FILE *stream = open_memstream(&words, &size);
    if (stream == NULL)
        return -1;
    plan_describe(plan, i, stream);
    int closed = fclose(stream);
    if (closed == 0) {
        words[strcspn(words, "\n")] = '\0';
        fprintf(out, "   ");
        page_wrap(out, words, 3);
    }
    free(words);
    return closed == 0 ? 0 : -1;
}

static int print_rule(const struct plan *plan, size_t i, FILE *out)
{
    const char *name = plan_rule_name(plan, i), *text = plan_rule_text(plan, i);
    fprintf(out, "%zu. ", i + 1);
    diag_print_text((struct slice){text, strlen(text)}, out);
    if (name) {
        fprintf(out, "  (");
        diag_print_text((struct slice){name, strlen(name)}, out);
        fprintf(out, ")");
    }
    fprintf(out, "\n");
    return print_words(plan, i, out);
}

static void print_traced(const struct plan *plan, FILE *out)
{
    bool first = true;
    for (enum call call = 0; call < CALL_COUNT; call++) {
        if (plan_traces(plan, call)) {
            fprintf(out, "%s %s", first ? "traced:" : ",", call_info(call)->name);
            first = false;
        }
    }
    if (!first)
        fprintf(out, "\n");
}

static int print_check(const struct check *check)
{
    const struct plan *plan = check->plan;
    struct page page;
    int printed = 0;
    if (page_begin(&page) < 0)
        return STATUS_FAILED;
    for (size_t i = 0; i < plan_rule_count(plan) && printed == 0; i++)
        printed = print_rule(plan, i, page.out);
    if (plan_rule_count(plan) == 0)
        fprintf(page.out, "no rules: nothing will be injected\n");
    print_traced(plan, page.out);
    if (check->strace_counts)
        fprintf(page.out, "--strace-counts: rules without per= count for each call and each thread instead\n");
    fprintf(page.out, "seed: %" PRIu64 "\n", plan_seed(plan));
    if (printed < 0)
        fprintf(stderr, "snag: out of memory\n");
    int status = page_end(&page);
    return printed < 0 ? STATUS_FAILED : status;
}

int cmd_check(int argc, char **argv)
{
    struct check check = {.plan = plan_new()};
    if (check.plan == NULL) {
        fprintf(stderr, "snag: out of memory\n");
        return STATUS_FAILED;
    }
    int status = STATUS_FAILED;
    if (check_arguments(&check, argc, argv) == 0)
        status = check.shown ? page_print(check.shown) : print_check(&check);
    plan_free(check.plan);
    return status;
}
