/*
 * json.c - a report as JSON.
 */
#include "report/report.h"

#include <string.h>

static const char *origin_name(enum life_origin origin)
{
    static const char *const names[] = {
        [LIFE_SOCKET] = "socket", [LIFE_ACCEPTED] = "accept", [LIFE_COPIED] = "copy", [LIFE_INHERITED] = "inherited"};
    return names[origin];
}

static json_t *text_or_null(const char *text)
{
    return text[0] != '\0' ? json_string(text) : json_null();
}

static json_t *errors_json(const struct figure *figure)
{
    json_t *errors = json_object();
    for (size_t i = 0; i < figure->error_count; i++)
        json_object_set_new(errors, figure->errors[i].name,
                            json_pack("{s:I, s:I}", "count", (json_int_t)figure->errors[i].count, "injected",
                                      (json_int_t)figure->errors[i].injected));
    return errors;
}

static json_t *calls_json(const struct figures *figures)
{
    json_t *list = json_array();
    for (size_t i = 0; i < figures->call_count; i++) {
        const struct figure *figure = figures->calls[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "call", figure->call, "count",
                                        (json_int_t)figure->count, "failed", (json_int_t)figure->failed, "injected",
                                        (json_int_t)figure->injected, "total_ns", (json_int_t)figure->total_ns,
                                        "median_ns", (json_int_t)figure_median(figure), "max_ns",
                                        (json_int_t)figure->max_ns, "errors", errors_json(figure)));
    }
    return list;
}

static json_t *callsite_json(const struct callsite *site)
{
    char rule[SITE_RULE_MAX];
    enum call call = call_by_name(site->call, strlen(site->call));
    json_t *frames = json_object_get(site->line, "frames");
    json_t *object = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:o, s:o}", "site", site->id, "call", site->call, "name",
                               site->name, "count", (json_int_t)site->count, "failed", (json_int_t)site->failed,
                               "injected", (json_int_t)site->injected, "rule",
                               call != CALL_NONE ? json_string(site_rule(call, site->id, rule)) : json_null(), "frames",
                               frames != NULL ? json_incref(frames) : json_array());
    if (json_is_true(json_object_get(site->line, "partial")))
        json_object_set_new(object, "partial", json_true());
    return object;
}

static json_t *callsites_json(const struct callsites *sites)
{
    json_t *list = json_array();
    for (size_t i = 0; i < sites->count; i++)
        if (sites->list[i]->count > 0)
            json_array_append_new(list, callsite_json(sites->list[i]));
    return list;
}

/* From the summary; without one, what the calls tell, which is not how often a rule matched. */
static json_t *rules_json(const struct report *report)
{
    json_t *rules = json_object_get(report->summary, "rules"), *text;
    size_t i;
    if (rules != NULL)
        return json_incref(rules);
    rules = json_array();
    json_array_foreach(json_object_get(report->session, "plan"), i, text)
    {
        struct figure_rule none = {0};
        const struct figure_rule *rule = i < FIGURES_RULES ? &report->figures.rules[i] : &none;
        json_array_append_new(rules,
                              json_pack("{s:I, s:O, s:n, s:I, s:I}", "rule", (json_int_t)i + 1, "text", text, "matched",
                                        "injected", (json_int_t)rule->injected, "missed", (json_int_t)rule->missed));
    }
    return rules;
}

static json_t *steps_json(const struct life *life)
{
    json_t *list = json_array();
    for (size_t i = 0; i < life->step_count; i++) {
        const struct life_step *step = &life->steps[i];
        json_array_append_new(list, json_pack("{s:s, s:o, s:o, s:o, s:I, s:I, s:I, s:I}", "call", step->call, "site",
                                              text_or_null(step->site), "errno", text_or_null(step->error), "detail",
                                              text_or_null(step->detail), "count", (json_int_t)step->count, "injected",
                                              (json_int_t)step->injected, "first_ns", (json_int_t)step->first_ns,
                                              "last_ns", (json_int_t)step->last_ns));
    }
    return list;
}

static json_t *life_json(const struct life *life)
{
    return json_pack("{s:i, s:s, s:o, s:I, s:o, s:b, s:{s:I, s:I, s:I}, s:o}", "fd", life->fd, "origin",
                     origin_name(life->origin), "local", text_or_null(life->address), "begin_ns",
                     (json_int_t)life->begin_ns, "end_ns",
                     life->ended ? json_integer((json_int_t)life->end_ns) : json_null(), "end_seen",
                     life->ended && !life->reused, "connections", "accepted", (json_int_t)life->accepted, "closed",
                     (json_int_t)life->closed, "lived_ns", (json_int_t)life->lived_ns, "steps", steps_json(life));
}

static json_t *processes_json(const struct lives *lives)
{
    json_t *list = json_array();
    for (const struct life_process *process = lives_first(lives); process != NULL; process = process->next) {
        json_t *sockets = json_array();
        for (const struct life *life = process->lives; life != NULL; life = life->next)
            json_array_append_new(sockets, life_json(life));
        json_array_append_new(list, json_pack("{s:i, s:o, s:o, s:o, s:o, s:{s:I, s:I}}", "pid", (int)process->pid,
                                              "ppid", process->ppid ? json_integer(process->ppid) : json_null(), "exe",
                                              text_or_null(process->exe), "comm", text_or_null(process->comm),
                                              "sockets", sockets, "unbound", "count", (json_int_t)process->plain,
                                              "open", (json_int_t)process->plain_open));
    }
    return list;
}

json_t *report_json(const struct report *report)
{
    return json_pack("{s:s, s:i, s:b, s:O, s:O?, s:I, s:o, s:O, s:o, s:o, s:I, s:o}", "type", "report", "format", 1,
                     "finished", report->summary != NULL, "session", report->session, "summary", report->summary,
                     "calls_read", (json_int_t)report->figures.count, "rules", rules_json(report), "plan_changes",
                     report->changes, "calls", calls_json(&report->figures), "sites",
                     callsites_json(&report->callsites), "unwalked", (json_int_t)report->callsites.unwalked,
                     "processes", processes_json(report->lives));
}
