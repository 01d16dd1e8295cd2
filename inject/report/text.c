/*
 * text.c - a report for a person: lines of at most 100 columns.
 *
 * Traces hold words of the server's (its arguments, its paths), so a line is made whole first, and what could move the
 * cursor of a terminal becomes a question mark.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "report/report.h"

enum { COLUMNS = 100 };

/* The length of the character at TEXT in bytes; what is no UTF-8 counts by bytes. */
static size_t character_length(const char *text)
{
    unsigned char first = (unsigned char)text[0];
    size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 1;
    for (size_t i = 1; i < length; i++)
        if (((unsigned char)text[i] & 0xc0) != 0x80)
            return 1;
    return length;
}

static size_t count_characters(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text += character_length(text))
        count++;
    return count;
}

/* A control character: below space, DEL, or of the second such block (U+0080 to U+009F). */
static bool is_control(const char *text)
{
    unsigned char first = (unsigned char)text[0], second = (unsigned char)text[1];
    return first < ' ' || first == 0x7f || (first == 0xc2 && second < 0xa0);
}

/* Prints a line; what is too long for it ends in "...". */
static void line(FILE *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void line(FILE *out, const char *format, ...)
{
    char text[8192];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (size_t end = strlen(text); end > 0 && text[end - 1] == ' '; end--)
        text[end - 1] = '\0';
    bool cut = count_characters(text) > COLUMNS;
    size_t room = cut ? COLUMNS - 3 : COLUMNS;
    for (const char *at = text; *at != '\0' && room > 0; at += character_length(at), room--) {
        if (is_control(at))
            putc('?', out);
        else
            fwrite(at, 1, character_length(at), out);
    }
    fputs(cut ? "...\n" : "\n", out);
}

/* A duration in the unit that suits it: "410 ns", "12.3 ms". */
static const char *time_text(uint64_t ns, char out[32])
{
    if (ns < 1000)
        snprintf(out, 32, "%" PRIu64 " ns", ns);
    else if (ns < UINT64_C(1000000))
        snprintf(out, 32, "%.3g us", (double)ns / 1e3);
    else if (ns < UINT64_C(1000000000))
        snprintf(out, 32, "%.4g ms", (double)ns / 1e6);
    else
        snprintf(out, 32, "%.6g s", (double)ns / 1e9);
    return out;
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

static json_int_t number_of(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

/* --- The session ------------------------------------------------------------------------------------------------- */

static void print_end(const struct report *report, FILE *out)
{
    const json_t *summary = report->summary;
    const char *verdict = text_of(summary, "verdict");
    if (summary == NULL) {
        if (report->cut > 0)
            line(out, "  unfinished: there is no summary, and line %" PRIu64 " ends in its middle", report->cut);
        else
            line(out, "  unfinished: there is no summary; snag was killed, or still runs");
        return;
    }
    if (json_is_integer(json_object_get(summary, "exit")))
        line(out, "  ended with exit status %" JSON_INTEGER_FORMAT, number_of(summary, "exit"));
    else if (text_of(summary, "signal")[0] != '\0')
        line(out, "  ended by %s", text_of(summary, "signal"));
    if (verdict[0] != '\0')
        line(out, "  verdict: %s: %s", verdict, text_of(json_object_get(summary, "evidence"), "text"));
    if (number_of(summary, "lost") > 0)
        line(out, "  %" JSON_INTEGER_FORMAT " events lost: the figures are too low by so many",
             number_of(summary, "lost"));
}

static void print_session(const struct report *report, FILE *out)
{
    const json_t *session = report->session;
    char command[4096] = "", time[32];
    size_t i, length = 0;
    json_t *argument;
    json_array_foreach(json_object_get(session, "argv"), i, argument)
    {
        const char *text = json_string_value(argument);
        const char *quote = text[0] == '\0' || strpbrk(text, " \t\n\"'$") != NULL ? "'" : "";
        int more =
            snprintf(command + length, sizeof command - length, "%s%s%s%s", i > 0 ? " " : "", quote, text, quote);
        if (more < 0 || (size_t)more >= sizeof command - length)
            break;
        length += (size_t)more;
    }
    line(out, "%s", command[0] != '\0' ? command : "(a session without a server of its own)");
    line(out, "  snag %s, %s, started %s, seed %" JSON_INTEGER_FORMAT, text_of(session, "snag"),
         text_of(session, "backend"), text_of(session, "started"), number_of(session, "seed"));
    line(out, "  %" PRIu64 " calls in %s, %" PRIu64 " injected", report->figures.count,
         time_text(report->figures.last_ns, time), report->figures.injected);
    print_end(report, out);
}

/* --- Rules ------------------------------------------------------------------------------------------------------- */

static void print_summary_rules(const json_t *rules, FILE *out)
{
    size_t i;
    json_t *rule;
    json_array_foreach(rules, i, rule)
    {
        line(out,
             "  %4" JSON_INTEGER_FORMAT "  %10" JSON_INTEGER_FORMAT "  %10" JSON_INTEGER_FORMAT
             "  %8" JSON_INTEGER_FORMAT "  %s%s",
             number_of(rule, "rule"), number_of(rule, "matched"), number_of(rule, "injected"),
             number_of(rule, "missed"), text_of(rule, "text"),
             json_is_true(json_object_get(rule, "deleted")) ? " (deleted)" : "");
    }
}

/* What snag ctl did to the plan, and when. */
static void print_changes(const struct report *report, FILE *out)
{
    size_t i, j;
    json_t *change, *rule;
    json_array_foreach(report->changes, i, change)
    {
        char time[32], rules[256] = "";
        size_t length = 0;
        json_array_foreach(json_object_get(change, "rules"), j, rule)
        {
            if (length < sizeof rules)
                length += (size_t)snprintf(rules + length, sizeof rules - length, "%s %" JSON_INTEGER_FORMAT,
                                           j > 0 ? "," : "", number_of(rule, "rule"));
        }
        line(out, "  after %s: %s%s", time_text((uint64_t)number_of(change, "t_ns"), time), text_of(change, "change"),
             rules);
    }
}

/* Without a summary nobody knows how often a rule matched. */
static void print_plan_rules(const struct report *report, FILE *out)
{
    size_t i;
    json_t *text;
    json_array_foreach(json_object_get(report->session, "plan"), i, text)
    {
        struct figure_rule none = {0};
        const struct figure_rule *rule = i < FIGURES_RULES ? &report->figures.rules[i] : &none;
        line(out, "  %4zu  %10s  %10" PRIu64 "  %8" PRIu64 "  %s", i + 1, "?", rule->injected, rule->missed,
             json_string_value(text));
    }
}

static void print_rules(const struct report *report, FILE *out)
{
    const json_t *rules = json_object_get(report->summary, "rules");
    if (json_array_size(rules) == 0 && json_array_size(json_object_get(report->session, "plan")) == 0 &&
        json_array_size(report->changes) == 0)
        return;
    line(out, "%s", "");
    line(out, "Rules");
    line(out, "  %4s  %10s  %10s  %8s  %s", "rule", "matched", "injected", "missed", "");
    if (rules != NULL)
        print_summary_rules(rules, out);
    else
        print_plan_rules(report, out);
    print_changes(report, out);
}

/* --- Calls ------------------------------------------------------------------------------------------------------- */

static void print_call(const struct figure *figure, FILE *out)
{
    char total[32], median[32], max[32], errors[256] = "";
    size_t length = 0;
    for (size_t i = 0; i < figure->error_count && length < sizeof errors; i++)
        length += (size_t)snprintf(errors + length, sizeof errors - length, "%s%s %" PRIu64, i > 0 ? ", " : "",
                                   figure->errors[i].name, figure->errors[i].count);
    line(out, "  %-13s %9" PRIu64 " %8" PRIu64 " %8" PRIu64 " %10s %10s %10s  %s", figure->call, figure->count,
         figure->failed, figure->injected, time_text(figure->total_ns, total), time_text(figure_median(figure), median),
         time_text(figure->max_ns, max), errors);
}

static void print_calls(const struct report *report, FILE *out)
{
    if (report->figures.call_count == 0)
        return;
    line(out, "%s", "");
    line(out, "Calls");
    line(out, "  %-13s %9s %8s %8s %10s %10s %10s", "", "count", "failed", "injected", "total", "median", "max");
    for (size_t i = 0; i < report->figures.call_count; i++)
        print_call(report->figures.calls[i], out);
}

/* --- Call sites -------------------------------------------------------------------------------------------------- */

/* The file of the innermost frame with a name, which is what the site is called by. */
static void print_source(const struct callsite *site, char *out, size_t size)
{
    const json_t *frame = callsite_frame(site);
    const char *file = text_of(frame, "file");
    out[0] = '\0';
    if (file[0] != '\0')
        snprintf(out, size, ", %s:%" JSON_INTEGER_FORMAT, file, number_of(frame, "line"));
    else if (frame != NULL)
        snprintf(out, size, ", %s of %s", text_of(frame, "offset"), text_of(frame, "module"));
}

static bool is_partial(const struct callsite *site)
{
    return json_is_true(json_object_get(site->line, "partial"));
}

static void print_callsite(const struct callsite *site, FILE *out)
{
    char source[1024], rule[SITE_RULE_MAX];
    enum call call = call_by_name(site->call, strlen(site->call));
    print_source(site, source, sizeof source);
    line(out, "  %-13s %9" PRIu64 " %8" PRIu64 " %8" PRIu64 "  %s%s%s", site->call, site->count, site->failed,
         site->injected, site->name, is_partial(site) ? " < ?" : "", source);
    if (call != CALL_NONE)
        line(out, "  %-13s %9s %8s %8s  -e %s", "", "", "", "", site_rule(call, site->id, rule));
}

static void print_callsites(const struct report *report, FILE *out)
{
    const struct callsites *sites = &report->callsites;
    bool partial = false;
    if (sites->count == 0 && sites->unwalked == 0)
        return;
    line(out, "%s", "");
    line(out, "Call sites, each with a rule for it alone");
    line(out, "  %-13s %9s %8s %8s", "", "count", "failed", "injected");
    for (size_t i = 0; i < sites->count; i++)
        if (sites->list[i]->count > 0) {
            print_callsite(sites->list[i], out);
            partial |= is_partial(sites->list[i]);
        }
    if (partial)
        line(out, "  < ?: there, who called that is not known");
    if (sites->unwalked > 0)
        line(out, "  %" PRIu64 " call%s without a call site: the stack could not be walked safely", sites->unwalked,
             sites->unwalked == 1 ? "" : "s");
}

/* --- Sockets ----------------------------------------------------------------------------------------------------- */

static double seconds(uint64_t ns)
{
    return (double)ns / 1e9;
}

static void print_step(const struct report *report, const struct life_step *step, FILE *out)
{
    const struct callsite *site = step->site[0] != '\0' ? callsites_find(&report->callsites, step->site) : NULL;
    const char *in = site != NULL && site->line != NULL ? ", in " : "", *where = in[0] != '\0' ? site->name : "";
    char text[256], times[64] = "", until[48] = "", injected[48] = "";
    bool connections = strncmp(step->call, "accept", 6) == 0 && step->error[0] == '\0';
    if (step->count > 1)
        snprintf(times, sizeof times, connections ? ", %" PRIu64 " connections" : ", %" PRIu64 " times", step->count);
    if (step->count > 1)
        snprintf(until, sizeof until, ", until %.6f s", seconds(step->last_ns));
    if (step->injected == step->count)
        snprintf(injected, sizeof injected, ", injected");
    else if (step->injected > 0)
        snprintf(injected, sizeof injected, ", %" PRIu64 " injected", step->injected);
    snprintf(text, sizeof text, "%s%s%s", step->call, step->detail[0] ? " " : "", step->detail);
    if (step->error[0] != '\0')
        line(out, "    %12.6f s  %s: %s%s%s%s%s%s", seconds(step->first_ns), text, step->error, times, injected, until,
             in, where);
    else
        line(out, "    %12.6f s  %s%s%s%s%s%s", seconds(step->first_ns), text, times, injected, until, in, where);
}

static void print_connections(const struct life *life, FILE *out)
{
    char mean[32];
    if (life->accepted == 0)
        return;
    if (life->closed == 0)
        line(out, "    %14s  of its %" PRIu64 " connections none was seen to be closed", "", life->accepted);
    else
        line(out, "    %14s  of its %" PRIu64 " connections %" PRIu64 " were closed, after %s on average", "",
             life->accepted, life->closed, time_text(life->lived_ns / life->closed, mean));
}

static void print_life(const struct report *report, const struct life *life, FILE *out)
{
    static const char *const origins[] = {
        [LIFE_SOCKET] = "", [LIFE_ACCEPTED] = "", [LIFE_COPIED] = ", a copy", [LIFE_INHERITED] = ", was there before"};
    line(out, "  fd %d%s%s%s", life->fd, life->address[0] ? ", " : "", life->address, origins[life->origin]);
    for (size_t i = 0; i < life->step_count; i++)
        print_step(report, &life->steps[i], out);
    print_connections(life, out);
    if (life->reused)
        line(out, "    %12.6f s  its number is another socket's: it was closed without a call that was seen",
             seconds(life->end_ns));
    else if (!life->ended)
        line(out, "    %14s  open at the end", "");
}

static void print_process(const struct report *report, const struct life_process *process, FILE *out)
{
    char parent[32] = "";
    if (process->lives == NULL && process->plain == 0)
        return;
    if (process->ppid != 0)
        snprintf(parent, sizeof parent, ", child of %d", (int)process->ppid);
    line(out, "%s", "");
    line(out, "Sockets of process %d%s%s%s%s%s", (int)process->pid, process->comm[0] ? " " : "", process->comm, parent,
         process->exe[0] ? ", " : "", process->exe);
    for (const struct life *life = process->lives; life != NULL; life = life->next)
        print_life(report, life, out);
    if (process->plain > 0)
        line(out, "  %" PRIu64 " sockets that were never bound, %" PRIu64 " of them open at the end", process->plain,
             process->plain_open);
}

void report_text(const struct report *report, FILE *out)
{
    size_t idle = 0;
    print_session(report, out);
    print_rules(report, out);
    print_calls(report, out);
    print_callsites(report, out);
    for (const struct life_process *process = lives_first(report->lives); process != NULL; process = process->next) {
        print_process(report, process, out);
        idle += process->lives == NULL && process->plain == 0;
    }
    if (idle > 0) {
        line(out, "%s", "");
        line(out, "%zu process%s had no socket of %s own", idle, idle == 1 ? "" : "es", idle == 1 ? "its" : "their");
    }
}
