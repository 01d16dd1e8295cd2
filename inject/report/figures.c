#include "report/figures.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct figure *get_call(struct figures *figures, const char *call)
{
    for (size_t i = 0; i < figures->call_count; i++)
        if (strcmp(figures->calls[i]->call, call) == 0)
            return figures->calls[i];
    struct figure *figure = calloc(1, sizeof *figure);
    if (figure == NULL)
        return NULL;
    snprintf(figure->call, sizeof figure->call, "%s", call);
    figures->calls[figures->call_count++] = figure;
    return figure;
}

/* Below 64 ns each value is a range of its own; above, an octave has FIGURES_PARTS of them. */
static size_t range_of(uint64_t ns)
{
    if (ns < 2 * FIGURES_PARTS)
        return (size_t)ns;
    unsigned octave = 63 - (unsigned)__builtin_clzll(ns);
    unsigned shift = octave - 5; /* leaves 32 to 63 */
    return (size_t)shift * FIGURES_PARTS + (size_t)(ns >> shift);
}

/* The middle of range I. */
static uint64_t range_middle(size_t i)
{
    if (i < 2 * FIGURES_PARTS)
        return i;
    size_t shift = i / FIGURES_PARTS - 1;
    uint64_t least = (uint64_t)(i - shift * FIGURES_PARTS) << shift;
    return least + ((UINT64_C(1) << shift) >> 1);
}

static void count_error(struct figure *figure, const json_t *error, bool injected)
{
    char name[24];
    size_t i = 0;
    if (json_is_string(error))
        snprintf(name, sizeof name, "%s", json_string_value(error));
    else
        snprintf(name, sizeof name, "%" JSON_INTEGER_FORMAT, json_integer_value(error));
    while (i < figure->error_count && strcmp(figure->errors[i].name, name) != 0)
        i++;
    if (i == FIGURES_ERRORS)
        return;
    if (i == figure->error_count)
        memcpy(figure->errors[figure->error_count++].name, name, sizeof name);
    figure->errors[i].count++;
    figure->errors[i].injected += injected;
}

/* A call that was replaced took no time of its own: its duration is 0, and says nothing. */
static void count_time(struct figure *figure, uint64_t ns, bool injected)
{
    if (injected && ns == 0)
        return;
    figure->timed++;
    figure->total_ns += ns;
    if (ns > figure->max_ns)
        figure->max_ns = ns;
    figure->ranges[range_of(ns)]++;
}

static void count_rule(struct figures *figures, const json_t *line, bool injected)
{
    json_int_t rule = json_integer_value(json_object_get(line, "rule"));
    if (rule < 1 || rule > FIGURES_RULES)
        return;
    figures->rules[rule - 1].injected += injected;
    figures->rules[rule - 1].missed += json_is_true(json_object_get(line, "missed"));
}

int figures_call(struct figures *figures, const json_t *line)
{
    const json_t *error = json_object_get(line, "errno");
    bool injected = json_is_true(json_object_get(line, "injected"));
    uint64_t t_ns = (uint64_t)json_integer_value(json_object_get(line, "t_ns"));
    if (t_ns > figures->last_ns)
        figures->last_ns = t_ns;
    figures->count++;
    figures->injected += injected;
    count_rule(figures, line, injected);
    if (figures->call_count == FIGURES_CALLS)
        return 0;
    struct figure *figure = get_call(figures, json_string_value(json_object_get(line, "call")));
    if (figure == NULL)
        return -1;
    figure->count++;
    figure->injected += injected;
    if (error != NULL) {
        figure->failed++;
        count_error(figure, error, injected);
    }
    count_time(figure, (uint64_t)json_integer_value(json_object_get(line, "dur_ns")), injected);
    return 0;
}

uint64_t figure_median(const struct figure *figure)
{
    uint64_t below = 0;
    for (size_t i = 0; i < FIGURES_RANGES; i++) {
        below += figure->ranges[i];
        if (below * 2 >= figure->timed && below > 0) {
            uint64_t middle = range_middle(i);
            return middle < figure->max_ns ? middle : figure->max_ns;
        }
    }
    return 0;
}

static int compare_errors(const void *left, const void *right)
{
    const struct figure_error *a = left, *b = right;
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    return strcmp(a->name, b->name);
}

static int compare_calls(const void *left, const void *right)
{
    const struct figure *a = *(struct figure *const *)left, *b = *(struct figure *const *)right;
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    return strcmp(a->call, b->call);
}

void figures_sort(struct figures *figures)
{
    for (size_t i = 0; i < figures->call_count; i++)
        qsort(figures->calls[i]->errors, figures->calls[i]->error_count, sizeof figures->calls[i]->errors[0],
              compare_errors);
    qsort(figures->calls, figures->call_count, sizeof(void *), compare_calls);
}

void figures_clear(struct figures *figures)
{
    for (size_t i = 0; i < figures->call_count; i++)
        free(figures->calls[i]);
    figures->call_count = 0;
}
