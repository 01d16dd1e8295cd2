/*
 * terminal.c - an exploration for a person at a terminal: the tables, then the grave ones with the commands to try them
 * again.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "report/campaign.h"
#include "report/html.h"
#include "run/say.h"

enum {
    WIDTH = 100, /* columns, where no terminal says another */
    CELL = 14,   /* of a table's cell: the longest word, and blanks */
    NAME_MAX_WIDTH = 48,
    NAME_BYTES = 160,
    GRAVE_MAX = 20, /* cases that are shown one by one */
};

static size_t screen_width(FILE *out)
{
    struct winsize size;
    if (isatty(fileno(out)) && ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col >= 60)
        return size.ws_col;
    return WIDTH;
}

static enum say_paint paint_of(const struct campaign_report *report, const struct result *result)
{
    if (result_fails(report, result))
        return PAINT_BAD;
    if (result->ruling.headline == VERDICT_SERVED || result->ruling.headline == VERDICT_DECLINED)
        return PAINT_GOOD;
    return PAINT_WARN;
}

static void print_cell(const struct campaign_report *report, const struct result *result, FILE *out)
{
    if (result == NULL) {
        fprintf(out, "%-*s", CELL, "-");
        return;
    }
    const char *word = result_word(result), *mark = result->flaky ? "?" : "";
    int used = (int)(strlen(word) + strlen(mark));
    fprintf(out, "%s%s%s%s%*s", say_paint(paint_of(report, result)), word, mark, say_plain(),
            CELL - used > 1 ? CELL - used : 1, "");
}

static void print_part(const struct matrix *matrix, const struct campaign_report *report, size_t from, size_t until,
                       int name_width, FILE *out)
{
    char name[NAME_BYTES];
    fprintf(out, "\n%-*s", name_width, "");
    for (size_t c = from; c < until; c++)
        fprintf(out, "%-*s", CELL, matrix->columns[c]);
    fputc('\n', out);
    for (size_t r = 0; r < matrix->row_count; r++) {
        bool any = false;
        for (size_t c = from; c < until; c++)
            any = any || matrix->cells[r * matrix->column_count + c] != NULL;
        if (!any)
            continue;
        matrix_row_name(matrix, report, r, name, sizeof name);
        fprintf(out, "%-*.*s", name_width, name_width - 1, name);
        for (size_t c = from; c < until; c++)
            print_cell(report, matrix->cells[r * matrix->column_count + c], out);
        fputc('\n', out);
    }
}

/* A table that is too wide is cut into several. */
static void print_matrix(const struct campaign_report *report, int wanted, FILE *out)
{
    struct matrix matrix;
    char name[NAME_BYTES];
    int name_width = 12;
    if (matrix_make(&matrix, report, wanted) != 0)
        return;
    for (size_t r = 0; r < matrix.row_count; r++) {
        matrix_row_name(&matrix, report, r, name, sizeof name);
        int length = (int)strlen(name) + 2;
        name_width = length > name_width ? length : name_width;
    }
    name_width = name_width > NAME_MAX_WIDTH ? NAME_MAX_WIDTH : name_width;
    size_t at_once = (screen_width(out) - (size_t)name_width) / CELL;
    at_once = at_once == 0 ? 1 : at_once;
    for (size_t c = 0; c < matrix.column_count; c += at_once)
        print_part(&matrix, report, c, c + at_once < matrix.column_count ? c + at_once : matrix.column_count,
                   name_width, out);
    matrix_free(&matrix);
}

static void print_grave(const struct campaign_report *report, FILE *out)
{
    size_t count = 0;
    json_t *stacks = html_stacks(report);
    for (int verdict = VERDICT_COUNT - 1; verdict >= VERDICT_NONE; verdict--)
        for (size_t i = 0; i < report->count; i++) {
            const struct result *result = &report->results[i];
            if ((int)result->ruling.headline != verdict || !result_fails(report, result) || count++ >= GRAVE_MAX)
                continue;
            fprintf(out, "\n%s%s%s  %s\n    %s\n", say_paint(PAINT_BAD), result_word(result), say_plain(),
                    result->item.id, result->ruling.evidence);
            stack_line(stacks, result->item.site, out);
            fputs("    ", out);
            result_command(report, result, out);
            fputc('\n', out);
        }
    json_decref(stacks);
    if (count > GRAVE_MAX)
        fprintf(out, "\nand %zu more, in the report\n", count - GRAVE_MAX);
}

static void print_counts(const struct campaign_report *report, FILE *out)
{
    const char *comma = "";
    size_t failed = 0, flaky = 0;
    fputc('\n', out);
    for (int verdict = VERDICT_COUNT - 1; verdict > VERDICT_NONE; verdict--) {
        size_t count = 0;
        for (size_t i = 0; i < report->count; i++)
            count += (int)report->results[i].ruling.headline == verdict;
        if (count > 0) {
            fprintf(out, "%s%zu %s", comma, count, verdict_word((enum verdict)verdict));
            comma = ", ";
        }
    }
    for (size_t i = 0; i < report->count; i++) {
        failed += report->results[i].failed;
        flaky += report->results[i].flaky;
    }
    if (failed > 0)
        fprintf(out, "%s%zu that snag could not try", comma, failed);
    if (flaky > 0)
        fprintf(out, "; %zu with a ? were not the same each time", flaky);
    fputc('\n', out);
}

void report_terminal(const struct campaign_report *report, FILE *out)
{
    print_matrix(report, 0, out);
    print_matrix(report, 1, out);
    print_grave(report, out);
    print_counts(report, out);
}
