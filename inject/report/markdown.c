/*
 * markdown.c - an exploration for a pull request: the tables, and what fails.
 */
#include <string.h>

#include "report/campaign.h"
#include "report/escape.h"

enum { NAME_BYTES = 160 };

static void write_table(const struct campaign_report *report, int wanted, FILE *out)
{
    struct matrix matrix;
    char name[NAME_BYTES];
    if (matrix_make(&matrix, report, wanted) != 0)
        return;
    if (matrix.row_count > 0) {
        fputs("| |", out);
        for (size_t c = 0; c < matrix.column_count; c++)
            fprintf(out, " %s |", matrix.columns[c]);
        fputs("\n| --- |", out);
        for (size_t c = 0; c < matrix.column_count; c++)
            fputs(" --- |", out);
        fputc('\n', out);
    }
    for (size_t r = 0; r < matrix.row_count; r++) {
        matrix_row_name(&matrix, report, r, name, sizeof name);
        fputs("| ", out);
        escape_markdown(name, out);
        fputs(" |", out);
        for (size_t c = 0; c < matrix.column_count; c++) {
            const struct result *result = matrix.cells[r * matrix.column_count + c];
            const char *bold = result != NULL && result_fails(report, result) ? "**" : "";
            fprintf(out, " %s%s%s%s |", bold, result != NULL ? result_word(result) : "",
                    result != NULL && result->flaky ? "?" : "", bold);
        }
        fputc('\n', out);
    }
    if (matrix.row_count > 0)
        fputc('\n', out);
    matrix_free(&matrix);
}

void report_markdown(const struct campaign_report *report, FILE *out)
{
    size_t failing = 0;
    for (size_t i = 0; i < report->count; i++)
        failing += result_fails(report, &report->results[i]);
    fputs("### snag explore: `", out);
    for (char *const *word = report->server; word != NULL && *word != NULL; word++)
        fprintf(out, "%s%s", word == report->server ? "" : " ", strchr(*word, '`') == NULL ? *word : "?");
    fprintf(out, "`\n\n%zu cases, %zu fail%s%s\n\n", report->count, failing, failing == 1 ? "s" : "",
            report->incomplete ? "; not complete" : "");
    write_table(report, 0, out);
    write_table(report, 1, out);
    for (size_t i = 0; i < report->count; i++) {
        const struct result *result = &report->results[i];
        if (!result_fails(report, result))
            continue;
        fprintf(out, "- **%s** `%s`: ", result_word(result), result->item.id);
        escape_markdown(result->ruling.evidence, out);
        fputs("  \n  `", out);
        result_command(report, result, out);
        fputs("`\n", out);
    }
}
