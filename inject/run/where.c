#include "run/where.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "run/say.h"
#include "trace/jsonl.h"

enum {
    RULE_SITES = 4,  /* that are named in a rule's line; more are counted */
    SAID_SITES = 20, /* likewise, in the list of all */
};

/* How often RULE was injected at SITE. */
static uint64_t hits_of(const struct site *site, const struct rulebook_rule *rule)
{
    for (size_t k = 0; k < site->hit_count; k++)
        if (site->hits[k].rule == rule->number)
            return site->hits[k].injected;
    return 0;
}

static size_t all_sites(const struct summary *summary, struct site *const **list)
{
    return summary->sites != NULL ? sites_sort(summary->sites, list) : 0;
}

void where_print_rule(const struct summary *summary, const struct rulebook_rule *rule, FILE *out)
{
    struct site *const *list;
    char name[SITE_NAME_MAX];
    size_t count = all_sites(summary, &list), hit = 0, shown = 0;
    for (size_t k = 0; k < count; k++)
        hit += hits_of(list[k], rule) > 0;
    for (size_t k = 0; k < count && shown < RULE_SITES; k++) {
        uint64_t injected = hits_of(list[k], rule);
        if (injected == 0)
            continue;
        fprintf(out, "%s%s", shown++ > 0 ? ", " : ", at ", site_name(list[k], name));
        if (hit > 1)
            fprintf(out, " (%" PRIu64 ")", injected);
    }
    if (hit > shown)
        fprintf(out, " and %zu more", hit - shown);
}

static void say_missing(const struct summary *summary, uint32_t number, const char *key, int pattern)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = pattern < 0 || sites_found(summary->sites, (size_t)pattern) ? NULL : open_memstream(&text, &length);
    if (out == NULL)
        return;
    sites_explain(summary->sites, (size_t)pattern, out);
    if (fclose(out) == 0)
        say_note("rule %" PRIu32 ", %s%s%s%s", number, key, say_paint(PAINT_WARN), text, say_plain());
    free(text);
}

void where_say_missing(const struct summary *summary, const struct rulebook_rule *rule)
{
    if (summary->sites == NULL || atomic_load(&summary->board->module_count) == 0)
        return; /* no process was reached, which is said elsewhere */
    say_missing(summary, rule->number, "caller=", rule->caller);
    say_missing(summary, rule->number, "stack=", rule->stack);
}

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

void where_say_lost(const struct summary *summary)
{
    struct board *board = summary->board;
    if (summary->sites == NULL)
        return;
    uint64_t unwalked = atomic_load(&board->unwalked), unresolved = atomic_load(&board->unresolved);
    uint32_t lost = atomic_load(&board->stacks_lost), without = atomic_load(&board->no_unwinder);
    if (unwalked > 0)
        say_note("%" PRIu64 " call%s without a call site%s", unwalked, plural(unwalked),
                 without > 0 ? "" : ": the stack could not be walked safely");
    if (lost > 0)
        say_note("%" PRIu32 " of these because there were more than %d call sites", lost, STACK_MAX);
    if (unresolved > 0)
        say_note("%" PRIu64 " call%s came before it was known where the functions of caller= and stack= are",
                 unresolved, plural(unresolved));
}

void where_say_sites(const struct summary *summary)
{
    struct site *const *list;
    char id[SITE_ID_MAX], rule[SITE_RULE_MAX], name[SITE_NAME_MAX];
    size_t count = all_sites(summary, &list), said = 0;
    for (size_t i = 0; i < count; i++) {
        if (!summary->chosen[list[i]->call] && list[i]->injected == 0)
            continue;
        if (said++ >= SAID_SITES)
            continue;
        say_note("%s at %s: %" PRIu64 " call%s; a rule for it alone: -e %s", call_info(list[i]->call)->name,
                 site_name(list[i], name), list[i]->calls, plural(list[i]->calls),
                 site_rule(list[i]->call, site_id_text(list[i]->id, id), rule));
    }
    if (said > SAID_SITES)
        say_note("and %zu call sites more: snag report lists all of a trace that -o FILE wrote", said - SAID_SITES);
}

json_t *where_rule_json(const struct summary *summary, const struct rulebook_rule *rule)
{
    struct site *const *list;
    char id[SITE_ID_MAX];
    size_t count = all_sites(summary, &list);
    json_t *sites = json_array();
    for (size_t k = 0; k < count; k++)
        if (hits_of(list[k], rule) > 0)
            json_array_append_new(sites, json_pack("{s:s, s:I}", "site", site_id_text(list[k]->id, id), "injected",
                                                   (json_int_t)hits_of(list[k], rule)));
    return sites;
}

json_t *where_sites_json(const struct summary *summary)
{
    struct site *const *list;
    char id[SITE_ID_MAX], name[SITE_NAME_MAX];
    size_t count = all_sites(summary, &list);
    json_t *sites = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(sites,
                              json_pack("{s:s, s:s, s:o, s:I, s:I, s:I}", "site", site_id_text(list[i]->id, id), "call",
                                        call_info(list[i]->call)->name, "name", jsonl_text(site_name(list[i], name)),
                                        "calls", (json_int_t)list[i]->calls, "failed", (json_int_t)list[i]->failed,
                                        "injected", (json_int_t)list[i]->injected));
    return sites;
}
