/* faults.c - `snag faults`: what each call can fail with on Linux, and what a rule may do to it. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "engine/call.h"
#include "plan/diag.h"
#include "plan/names.h"
#include "plan/page.h"
#include "plan/parser.h"
#include "plan/plan.h"
#include "version.h"

static const char usage[] =
    "usage: snag faults [CALL]\n"
    "\n"
    "Without a call, lists the calls that snag can make fail, and their errnos.  With one, says for each\n"
    "errno what causes it, what becomes of a pending connection, and how long it can last.\n"
    "\n"
    "  -h, --help          this text\n"
    "      --version       the version of snag\n";

static const char hint[] = "snag: `snag faults --help` says how it is used\n";

/* The columns of a table, wide enough for what is in them. */
static size_t width_of_calls(void)
{
    size_t width = 0;
    for (enum call call = 0; call < CALL_COUNT; call++)
        if (strlen(call_info(call)->name) > width)
            width = strlen(call_info(call)->name);
    return width + 2;
}

static size_t width_of_errnos(enum call call)
{
    size_t width = strlen("ERRNO");
    for (size_t i = 0; i < call_errno_count(call); i++)
        if (strlen(call_info(call)->errnos[i].name) > width)
            width = strlen(call_info(call)->errnos[i].name);
    return width + 2;
}

/* Prints the errnos of CALL, wrapped, from COLUMN on. */
static void print_errnos(FILE *out, enum call call, size_t column)
{
    size_t at = column;
    for (size_t i = 0; i < call_errno_count(call); i++) {
        const char *name = call_info(call)->errnos[i].name;
        if (i > 0 && at + 1 + strlen(name) > PAGE_WIDTH) {
            fprintf(out, "\n%*s", (int)column, "");
            at = column;
        } else if (i > 0) {
            fputc(' ', out);
            at++;
        }
        fputs(name, out);
        at += strlen(name);
    }
    fputc('\n', out);
}

static void print_class(FILE *out, const char *name, enum call_class class)
{
    fprintf(out, "%-*s", (int)width_of_calls() - 1, name);
    for (enum call call = 0; call < CALL_COUNT; call++)
        if (call_info(call)->class == class)
            fprintf(out, " %s", call_info(call)->name);
    fprintf(out, "\n");
}

static void print_calls(FILE *out)
{
    size_t column = width_of_calls();
    fprintf(out, "%-*sERRNOS\n", (int)column, "CALL");
    for (enum call call = 0; call < CALL_COUNT; call++) {
        fprintf(out, "%-*s", (int)column, call_info(call)->name);
        print_errnos(out, call, column);
    }
    fprintf(out, "\n");
    print_class(out, "%accept", OF_ACCEPT);
    print_class(out, "%setup", OF_SETUP);
    fprintf(out, "%-*severy call of the list\n", (int)column, "%all");
    fprintf(out, "\n`snag faults CALL` says what each errno means, and what a rule may do to the call.\n");
}

static const char *effect_text(enum call_effect effect)
{
    switch (effect) {
    case KEEPS:
        return "kept";
    case CONSUMES:
        return "consumed";
    case NO_QUEUE:
    case ACTS:
        break;
    }
    return "none";
}

static const char *mode_text(enum call_mode mode)
{
    return mode == ONCE ? "once" : mode == BURST ? "burst" : "held";
}

static void print_table(FILE *out, enum call call)
{
    size_t width = width_of_errnos(call);
    fprintf(out, "%-*s%-12s%-7s%s\n", (int)width, "ERRNO", "CONNECTION", "LASTS", "CAUSE");
    for (size_t i = 0; i < call_errno_count(call); i++) {
        const struct call_errno *row = &call_info(call)->errnos[i];
        fprintf(out, "%-*s%-12s%-7s", (int)width, row->name, effect_text(row->effect), mode_text(row->modes));
        page_wrap(out, row->cause, width + 12 + 7);
    }
}

/* Prints the keys that CALL can have: those that act, or the triggers that not every call can have. */
static void print_keys(FILE *out, const char *title, enum call call, bool acts)
{
    size_t printed = 0;
    fprintf(out, "%-13s", title);
    for (enum key key = 0; key < KEY_COUNT; key++) {
        const struct key_info *info = key_info(key);
        bool wanted = acts ? info->acts : !info->acts && info->traits != 0;
        if (wanted && (info->traits == 0 || (info->traits & call_info(call)->traits)))
            fprintf(out, "%s%s%s", printed++ ? " " : "", info->name, info->takes ? "=" : "");
    }
    fprintf(out, "%s\n", printed ? "" : "none of its own");
}

static void print_call(FILE *out, enum call call)
{
    print_table(out, call);
    fprintf(out, "\n");
    print_keys(out, "Actions:", call, true);
    print_keys(out, "Filters:", call, false);
    fprintf(out, "Connection:  what becomes of a pending one: kept in the queue, consumed (taken out and reset), or\n"
                 "             none is touched.\n"
                 "Lasts:       how long it can go on while a client waits: once, for a burst, or held.\n");
}

static enum call call_find(const char *name)
{
    enum call call = call_by_name(name, strlen(name));
    struct nearest nearest = nearest_to(name, strlen(name));
    char quoted[DIAG_QUOTE_MAX];
    if (call != CALL_NONE)
        return call;
    for (enum call i = 0; i < CALL_COUNT; i++)
        nearest_offer(&nearest, call_info(i)->name);
    fprintf(stderr, "snag: unknown call '%s'", diag_quote((struct slice){name, strlen(name)}, quoted));
    if (nearest.best)
        fprintf(stderr, "; did you mean %s?\n", nearest.best);
    else
        fprintf(stderr, "; `snag faults` lists the calls\n");
    return CALL_NONE;
}

const struct option faults_options[] = {
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'v'},
    {NULL, 0, NULL, 0},
};

/* Takes the options.  Returns 0 with *SHOWN set if a text is wanted instead; -1 after saying what is wrong. */
static int take_options(int argc, char **argv, const char **shown)
{
    int option;
    optind = 0; /* getopt starts again: the command line before the subcommand may have used it */
    opterr = 0;
    while ((option = getopt_long(argc, argv, "h", faults_options, NULL)) != -1) {
        if (option == '?') {
            fprintf(stderr, "snag: faults: unknown option '%s'\n%s", argv[optind - 1], hint);
            return -1;
        }
        *shown = option == 'h' ? usage : snag_version;
    }
    if (argc - optind > 1 && *shown == NULL) {
        fprintf(stderr, "snag: faults: one call at a time\n%s", hint);
        return -1;
    }
    return 0;
}

int cmd_faults(int argc, char **argv)
{
    const char *shown = NULL;
    enum call call = CALL_NONE;
    struct page page;
    if (take_options(argc, argv, &shown) < 0)
        return STATUS_FAILED;
    if (shown)
        return page_print(shown);
    if (optind < argc) {
        call = call_find(argv[optind]);
        if (call == CALL_NONE)
            return STATUS_FAILED;
    }
    if (page_begin(&page) < 0)
        return STATUS_FAILED;
    if (call != CALL_NONE)
        print_call(page.out, call);
    else
        print_calls(page.out);
    return page_end(&page);
}
