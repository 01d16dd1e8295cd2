#include "lesson/lanes.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lesson/cells.h"
#include "lesson/text.h"

enum { WIDTH_DEFAULT = 100, WIDTH_LEAST = 60, NUMBER_WIDTH = 3 };

/* --- Text of a width ----------------------------------------------------------------------------------------------------- */

/* The bytes of the character at TEXT, and the columns that it takes: two for those of East Asia. */
static size_t character(const char *text, unsigned *columns)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t length = at[0] < 0x80 ? 1 : at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    unsigned code = length == 3 ? (at[0] & 0x0fu) << 12 | (at[1] & 0x3fu) << 6 | (at[2] & 0x3fu) : 0;
    *columns = (code >= 0x1100 && code <= 0x115f) || (code >= 0x2e80 && code <= 0xd7a3) ||
                       (code >= 0xf900 && code <= 0xfaff) || (code >= 0xfe30 && code <= 0xfe6f) ||
                       (code >= 0xff00 && code <= 0xff60) || length == 4
                   ? 2
                   : 1;
    return length;
}

/*
 * Takes as much of *TEXT as fits into WIDTH columns, whole words if it can; returns its length in bytes, with *USED columns,
 * and moves *TEXT behind it and the blanks that follow.
 */
static size_t take_line(const char **text, unsigned width, unsigned *used)
{
    const char *start = *text, *at = start, *fits = start;
    unsigned columns = 0, one, fit = 0;
    while (*at) {
        size_t length = character(at, &one);
        if (columns + one > width)
            break;
        at += length;
        columns += one;
        if (*at == ' ' || *at == '\0' || one == 2) {
            fits = at;
            fit = columns;
        }
    }
    if (fits == start) {
        fits = at;
        fit = columns;
    }
    *used = fit;
    *text = fits + strspn(fits, " ");
    return (size_t)(fits - start);
}

static void blanks(FILE *out, unsigned count)
{
    fprintf(out, "%*s", (int)count, "");
}

/* The first line stands behind what was printed already, which took INDENT columns, if it is a TAIL. */
static void paragraph(const struct lanes *lanes, const char *text, unsigned indent, bool tail)
{
    unsigned used;
    do {
        const char *start = text;
        size_t length = take_line(&text, lanes->width - indent, &used);
        blanks(lanes->out, tail ? 0 : indent);
        fprintf(lanes->out, "%.*s\n", (int)length, start);
        tail = false;
    } while (*text);
}

void lanes_paragraph(const struct lanes *lanes, const char *text, unsigned indent)
{
    paragraph(lanes, text, indent, false);
}

struct lanes lanes_on(FILE *out, const json_t *words)
{
    struct winsize size = {0};
    struct lanes lanes = {.out = out, .words = words, .width = WIDTH_DEFAULT};
    bool terminal = isatty(fileno(out));
    const char *columns = getenv("COLUMNS");
    if (columns && strtoul(columns, NULL, 10) > 0)
        lanes.width = (unsigned)strtoul(columns, NULL, 10);
    else if (terminal && ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        lanes.width = size.ws_col;
    if (lanes.width < WIDTH_LEAST)
        lanes.width = WIDTH_LEAST;
    lanes.colors = terminal && getenv("NO_COLOR") == NULL;
    return lanes;
}

static const char *paint(const struct lanes *lanes, const char *sequence)
{
    return lanes->colors ? sequence : "";
}
#define BOLD "\033[1m"
#define DIM "\033[2m"
#define RED "\033[31m"
#define GREEN "\033[32m"
#define PLAIN "\033[0m"

/* --- Before --------------------------------------------------------------------------------------------------------------- */

static const char *field(const json_t *lesson, const char *key)
{
    const char *value = json_string_value(json_object_get(lesson, key));
    return value ? value : "";
}

void lanes_introduce(const struct lanes *lanes, const json_t *lesson)
{
    size_t i;
    json_t *paragraph;
    fprintf(lanes->out, "%s%s%s\n\n", paint(lanes, BOLD), field(lesson, "title"), paint(lanes, PLAIN));
    lanes_paragraph(lanes, field(lesson, "question"), 2);
    json_array_foreach(json_object_get(lesson, "about"), i, paragraph)
    {
        fputc('\n', lanes->out);
        lanes_paragraph(lanes, json_string_value(paragraph), 0);
    }
    fputc('\n', lanes->out);
}

void lanes_task(const struct lanes *lanes, const json_t *lesson)
{
    fprintf(lanes->out, "%s%s%s\n", paint(lanes, BOLD), text_word(lanes->words, "ui.task"), paint(lanes, PLAIN));
    lanes_paragraph(lanes, field(lesson, "task"), 2);
    fputc('\n', lanes->out);
}

/* --- Steps ----------------------------------------------------------------------------------------------------------------- */

static unsigned lane_width(const struct lanes *lanes)
{
    return (lanes->width - NUMBER_WIDTH - LANES * 3) / LANES;
}

/* One row: a number, and four texts side by side, each in as many lines as it needs. */
static void row(const struct lanes *lanes, const char *number, const char *const texts[LANES])
{
    const char *rest[LANES];
    bool more = true;
    memcpy(rest, texts, sizeof rest);
    for (bool first = true; first || more; first = false) {
        fprintf(lanes->out, "%*s", NUMBER_WIDTH, first ? number : "");
        more = false;
        for (int i = 0; i < LANES; i++) {
            const char *start = rest[i];
            unsigned used = 0;
            size_t length = take_line(&rest[i], lane_width(lanes), &used);
            fprintf(lanes->out, " | %.*s", (int)length, start);
            if (i < LANES - 1)
                blanks(lanes->out, lane_width(lanes) - used);
            more = more || *rest[i];
        }
        fputc('\n', lanes->out);
    }
}

static void show_heads(const struct lanes *lanes)
{
    const char *heads[LANES];
    for (int i = 0; i < LANES; i++)
        heads[i] = text_word(lanes->words, cells_lane((enum lane)i));
    fputs(paint(lanes, BOLD), lanes->out);
    row(lanes, "", heads);
    fprintf(lanes->out, "%s", paint(lanes, PLAIN));
}

static void show_line(const struct lanes *lanes, const char *text)
{
    unsigned used;
    const char *start = text;
    size_t length = take_line(&text, lanes->width - NUMBER_WIDTH - 3, &used);
    fprintf(lanes->out, "%*s   %s%.*s%s\n", NUMBER_WIDTH, "", paint(lanes, DIM), (int)length, start,
            paint(lanes, PLAIN));
}

/* Under the lanes: the line of source, and the state if it is not that of the step before, which is in *BEFORE. */
static void show_place(const struct lanes *lanes, const json_t *step, char **before)
{
    char *source = cells_source(step), *state = cells_state(step, lanes->words), *line = NULL;
    if (source && *source &&
        asprintf(&line, "%s:%lld  %s", field(step, "file"),
                 (long long)json_integer_value(json_object_get(step, "line")), source) >= 0)
        show_line(lanes, line);
    if (state && *state && (*before == NULL || strcmp(state, *before) != 0)) {
        show_line(lanes, state);
        free(*before);
        *before = state;
        state = NULL;
    }
    free(line);
    free(state);
    free(source);
}

static void show_outside(const struct lanes *lanes, const char *number, const char *text)
{
    fprintf(lanes->out, "%*s ~ %s%s%s\n", NUMBER_WIDTH, number, paint(lanes, BOLD), text, paint(lanes, PLAIN));
}

static void show_step(const struct lanes *lanes, const json_t *step, char **before)
{
    char number[16], *texts[LANES], *outside = cells_outside(step, lanes->words);
    const char *shown[LANES];
    snprintf(number, sizeof number, "%lld", (long long)json_integer_value(json_object_get(step, "n")));
    if (outside && *outside) {
        show_outside(lanes, number, outside);
        show_place(lanes, step, before);
        free(outside);
        return;
    }
    for (int i = 0; i < LANES; i++) {
        texts[i] = cells_text(step, (enum lane)i, lanes->words);
        shown[i] = texts[i] ? texts[i] : "";
    }
    row(lanes, number, shown);
    show_place(lanes, step, before);
    for (int i = 0; i < LANES; i++)
        free(texts[i]);
    free(outside);
}

static bool wait_for_enter(const struct lanes *lanes)
{
    int c;
    fprintf(lanes->out, "%s", text_word(lanes->words, "ui.enter"));
    fflush(lanes->out);
    while ((c = getchar()) != '\n')
        if (c == EOF)
            return false;
    return true;
}

bool lanes_show(const struct lanes *lanes, const json_t *steps)
{
    size_t i;
    json_t *step;
    char *before = NULL;
    bool on = true;
    show_heads(lanes);
    json_array_foreach(steps, i, step)
    {
        on = on && (!lanes->stepwise || wait_for_enter(lanes));
        if (on)
            show_step(lanes, step, &before);
    }
    fputc('\n', lanes->out);
    free(before);
    return on;
}

/* --- After ----------------------------------------------------------------------------------------------------------------- */

static void show_result(const struct lanes *lanes, const json_t *result)
{
    bool holds = json_is_true(json_object_get(result, "passed"));
    unsigned columns;
    size_t length;
    const char *mark = text_word(lanes->words, holds ? "ui.holds" : "ui.fails");
    unsigned indent = 3;
    for (const char *at = mark; *at; indent += columns, at += length)
        length = character(at, &columns);
    fprintf(lanes->out, "  %s%s%s ", paint(lanes, holds ? GREEN : RED), mark, paint(lanes, PLAIN));
    paragraph(lanes, field(result, "text"), indent, true);
    if (!holds)
        lanes_paragraph(lanes, field(result, "why"), indent);
}

static void show_headed(const struct lanes *lanes, const char *key, const char *text)
{
    fprintf(lanes->out, "\n%s%s%s\n", paint(lanes, BOLD), text_word(lanes->words, key), paint(lanes, PLAIN));
    lanes_paragraph(lanes, text, 2);
}

static void show_links(const struct lanes *lanes, const json_t *lesson, const char *key)
{
    size_t i;
    json_t *link;
    json_array_foreach(json_object_get(lesson, key), i, link)
    {
        fprintf(lanes->out, "  %s\n", json_string_value(link));
    }
}

void lanes_conclude(const struct lanes *lanes, const json_t *lesson, const json_t *results)
{
    size_t i;
    json_t *result;
    if (json_array_size(results) > 0)
        fprintf(lanes->out, "%s%s%s\n", paint(lanes, BOLD), text_word(lanes->words, "ui.showed"), paint(lanes, PLAIN));
    json_array_foreach(results, i, result)
    {
        show_result(lanes, result);
    }
    show_headed(lanes, "ui.remember", field(lesson, "remember"));
    show_headed(lanes, "ui.trap", field(lesson, "trap"));
    fprintf(lanes->out, "\n%s%s%s\n", paint(lanes, BOLD), text_word(lanes->words, "ui.read_on"), paint(lanes, PLAIN));
    show_links(lanes, lesson, "manual");
    show_links(lanes, lesson, "function");
}
