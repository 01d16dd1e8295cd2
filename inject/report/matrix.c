#include <stdlib.h>
#include <string.h>

#include "report/campaign.h"

static bool belongs(const struct result *result, int wanted)
{
    if (result->item.mode == MODE_CONTROL)
        return false;
    return call_accepts(result->item.call) == (wanted == 0);
}

static bool same_row(const struct fault_case *a, const struct fault_case *b)
{
    return a->call == b->call && a->site == b->site && a->mode == b->mode && a->nth == b->nth &&
           strcmp(a->address, b->address) == 0 && strcmp(a->site_name, b->site_name) == 0;
}

static size_t find_row(const struct matrix *matrix, const struct campaign_report *report, const struct fault_case *item)
{
    for (size_t i = 0; i < matrix->row_count; i++)
        if (same_row(&report->results[matrix->rows[i]].item, item))
            return i;
    return SIZE_MAX;
}

static size_t find_column(const struct matrix *matrix, const char *fault)
{
    for (size_t i = 0; i < matrix->column_count; i++)
        if (strcmp(matrix->columns[i], fault) == 0)
            return i;
    return SIZE_MAX;
}

int matrix_make(struct matrix *out, const struct campaign_report *report, int wanted)
{
    *out = (struct matrix){.rows = calloc(report->count + 1, sizeof *out->rows),
                           .columns = calloc(report->count + 1, sizeof *out->columns)};
    if (out->rows == NULL || out->columns == NULL)
        goto fail;
    for (size_t i = 0; i < report->count; i++) {
        const struct result *result = &report->results[i];
        if (!belongs(result, wanted))
            continue;
        if (find_row(out, report, &result->item) == SIZE_MAX)
            out->rows[out->row_count++] = i;
        if (find_column(out, result->item.fault) == SIZE_MAX)
            out->columns[out->column_count++] = result->item.fault;
    }
    out->cells = calloc(out->row_count * out->column_count + 1, sizeof(void *));
    if (out->cells == NULL)
        goto fail;
    for (size_t i = 0; i < report->count; i++) {
        const struct result *result = &report->results[i];
        if (belongs(result, wanted))
            out->cells[find_row(out, report, &result->item) * out->column_count +
                       find_column(out, result->item.fault)] = result;
    }
    return 0;
fail:
    matrix_free(out);
    return -1;
}

void matrix_free(struct matrix *matrix)
{
    free(matrix->rows);
    free(matrix->columns);
    free(matrix->cells);
    *matrix = (struct matrix){.row_count = 0};
}

/* An id is CALL-FAULT-MODE[@SITE][+LISTENER]: what is behind the mode tells the place. */
void matrix_row_name(const struct matrix *matrix, const struct campaign_report *report, size_t i, char *out,
                     size_t size)
{
    const struct fault_case *item = &report->results[matrix->rows[i]].item;
    const char *place = strpbrk(item->id, "@+");
    char nth[16] = "";
    if (item->mode == MODE_NTH)
        snprintf(nth, sizeof nth, " %u", (unsigned)item->nth);
    snprintf(out, size, "%s%s %s%s", call_info(item->call)->name, place != NULL ? place : "", mode_word(item->mode),
             nth);
}
