/*
 * html.c - an exploration as one page that needs nothing else: the table, and behind each of its cells the evidence.
 *
 * What a server printed is in it, so everything goes through escape.c.
 */
#include "report/html.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "report/campaign.h"
#include "report/escape.h"
#include "run/say.h"

enum {
    NAME_BYTES = 160,
    OUTPUT_SHOWN = 6000, /* bytes of a server's output, its last ones; */
    OUTPUT_GOOD = 1500,  /* where nothing went wrong */
};

static const char *class_of(const struct campaign_report *report, const struct result *result)
{
    if (result_fails(report, result))
        return "v bad";
    if (result->ruling.headline == VERDICT_SERVED || result->ruling.headline == VERDICT_DECLINED)
        return "v good";
    return result->ruling.headline == VERDICT_UNTESTED ? "v" : "v warn";
}

/* --- The head ---------------------------------------------------------------------------------------------------- */

static void write_server(const struct campaign_report *report, FILE *out)
{
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    if (memory == NULL)
        return;
    for (char *const *word = report->server; word != NULL && *word != NULL; word++) {
        fputs(word == report->server ? "" : " ", memory);
        shell_word(*word, memory);
    }
    fclose(memory);
    escape_xml(text, out);
    free(text);
}

/* The first result of that verdict tells how it is painted. */
static void write_counts(const struct campaign_report *report, FILE *out)
{
    fputs("<ul class=\"counts\">", out);
    for (int verdict = VERDICT_COUNT - 1; verdict >= VERDICT_NONE; verdict--) {
        size_t count = 0, first = 0;
        for (size_t i = report->count; i-- > 0;)
            if ((int)report->results[i].ruling.headline == verdict) {
                count++;
                first = i;
            }
        if (count > 0)
            fprintf(out, "<li><span class=\"%s\">%zu %s</span></li>", class_of(report, &report->results[first]), count,
                    result_word(&report->results[first]));
    }
    fputs("</ul>\n", out);
}

static void write_head(const struct campaign_report *report, FILE *out)
{
    size_t failing = 0;
    for (size_t i = 0; i < report->count; i++)
        failing += result_fails(report, &report->results[i]);
    fputs("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
          "<meta http-equiv=\"Content-Security-Policy\" "
          "content=\"default-src 'none';style-src 'unsafe-inline';script-src 'unsafe-inline'\">\n<title>snag: ",
          out);
    write_server(report, out);
    fprintf(out,
            "</title>\n<style>\n%s</style></head>\n<body>\n<h1>What it did under each fault</h1>\n<p "
            "class=\"server\"><code>",
            html_style);
    write_server(report, out);
    fprintf(out, "</code></p>\n<p class=\"soft\">%zu cases, %zu fail%s%s</p>\n", report->count, failing,
            failing == 1 ? "s" : "", report->incomplete ? "; the exploration is not complete" : "");
    write_counts(report, out);
}

/* --- The tables -------------------------------------------------------------------------------------------------- */

static void write_cell(const struct campaign_report *report, const struct result *result, FILE *out)
{
    if (result == NULL) {
        fputs("<td></td>", out);
        return;
    }
    fputs("<td><a href=\"#", out);
    escape_xml(result->item.id, out);
    fprintf(out, "\" class=\"%s\" title=\"", class_of(report, result));
    escape_xml(result->ruling.evidence, out);
    fprintf(out, "\">%s%s</a></td>", result_word(result), result->flaky ? "?" : "");
}

static void write_table(const struct campaign_report *report, int wanted, const char *title, FILE *out)
{
    struct matrix matrix;
    char name[NAME_BYTES];
    if (matrix_make(&matrix, report, wanted) != 0)
        return;
    if (matrix.row_count > 0) {
        fprintf(out,
                "<h2>%s</h2>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" "
                "aria-label=\"%s\"><table><thead><tr><th></th>",
                title, title);
        for (size_t c = 0; c < matrix.column_count; c++) {
            fputs("<th scope=\"col\">", out);
            escape_xml(matrix.columns[c], out);
            fputs("</th>", out);
        }
        fputs("</tr></thead>\n<tbody>\n", out);
    }
    for (size_t r = 0; r < matrix.row_count; r++) {
        matrix_row_name(&matrix, report, r, name, sizeof name);
        fputs("<tr><th scope=\"row\">", out);
        escape_xml(name, out);
        fputs("</th>", out);
        for (size_t c = 0; c < matrix.column_count; c++)
            write_cell(report, matrix.cells[r * matrix.column_count + c], out);
        fputs("</tr>\n", out);
    }
    if (matrix.row_count > 0)
        fputs("</tbody></table></div>\n", out);
    matrix_free(&matrix);
}

/* --- A case ------------------------------------------------------------------------------------------------------ */

static void write_figure(const char *name, const char *format, double value, FILE *out)
{
    fprintf(out, "<div><dt>%s</dt><dd>", name);
    fprintf(out, format, value);
    fputs("</dd></div>", out);
}

static void write_figures(const struct fault_case *item, const struct measures *m, FILE *out)
{
    struct rates rates = oracle_rates(m);
    fputs("<dl>", out);
    write_figure("faults", "%.0f", (double)oracle_faults(item, m), out);
    if (oracle_has_rates(m, &thresholds_default)) {
        write_figure("failing calls a second", "%.0f", rates.calls_per_s, out);
        write_figure("CPU under the fault", "%.0f%% of a core", 100 * rates.cpu, out);
        write_figure("log lines a second", "%.0f", rates.lines_per_s, out);
    }
    if (m->recovered)
        write_figure("served again after", "%.0f ms", (double)m->recovered_ms, out);
    write_figure("clients", "%.0f", m->clients, out);
    write_figure("clients lost", "%.0f", (double)m->closed_without + m->closed_under_pressure, out);
    write_figure("descriptors", "%+.0f", m->growth[0], out);
    fputs("</dl>\n", out);
}

/* The end of the file that a case's output is in, from a whole line on. */
static void write_output(const char *path, long shown, FILE *out)
{
    char *text = malloc((size_t)shown);
    FILE *file = text != NULL ? fopen(path, "re") : NULL;
    size_t length = 0;
    bool cut = false;
    if (file != NULL && fseek(file, 0, SEEK_END) == 0) {
        cut = ftell(file) > shown;
        if (fseek(file, cut ? -shown : 0, cut ? SEEK_END : SEEK_SET) == 0)
            length = fread(text, 1, (size_t)shown, file);
    }
    if (file != NULL)
        fclose(file);
    const char *start = text, *line = cut && length > 0 ? memchr(text, '\n', length) : NULL;
    if (line != NULL)
        start = line + 1;
    if (length > 0) {
        fprintf(out, "<h3>What it said%s</h3><pre>", cut ? " at last" : "");
        escape_xml_bytes(start, length - (size_t)(start - text), out);
        fputs("</pre>\n", out);
    }
    free(text);
}

static void write_log(const struct measures *m, FILE *out)
{
    if (m->log_last[0] == '\0')
        return;
    fprintf(out, "<h3>The last of %ju lines in its log files</h3><pre>", (uintmax_t)m->log_lines);
    escape_xml(m->log_last, out);
    fputs("</pre>\n", out);
}

static void write_crash(const struct measures *m, FILE *out)
{
    if (m->crash[0] == '\0')
        return;
    fputs("<h3>Where it crashed</h3><pre>", out);
    escape_xml(m->crash, out);
    fputs("</pre>\n", out);
}

static void write_command(const struct campaign_report *report, const struct result *result, FILE *out)
{
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    if (memory == NULL)
        return;
    result_command(report, result, memory);
    fclose(memory);
    fputs("<h3>To try it again</h3><pre>", out);
    escape_xml(text, out);
    fputs("</pre>\n", out);
    free(text);
}

static void write_verdicts(const struct result *result, FILE *out)
{
    for (int verdict = VERDICT_COUNT - 1; verdict > VERDICT_NONE; verdict--)
        if ((result->ruling.set >> verdict & 1) && verdict != (int)result->ruling.headline)
            fprintf(out, " <span class=\"v\">%s</span>", verdict_word((enum verdict)verdict));
    if (!result->flaky)
        return;
    fputs("<p>Not the same each time:", out);
    for (unsigned i = 0; i < result->runs && i < 3; i++)
        fprintf(out, " %s", verdict_word(result->seen[i]) != NULL ? verdict_word(result->seen[i]) : "failed");
    fputs("</p>", out);
}

static void write_case(const struct campaign_report *report, const struct result *result, const json_t *stacks,
                       struct result *scratch, struct measures *m, FILE *out)
{
    char path[FOLDER_PATH_MAX + 16];
    bool good = !result_fails(report, result) && result->ruling.headline <= VERDICT_DECLINED;
    fputs("<details id=\"", out);
    escape_xml(result->item.id, out);
    fprintf(out, "\"><summary><span class=\"%s\">%s%s</span> ", class_of(report, result), result_word(result),
            result->flaky ? "?" : "");
    escape_xml(result->item.id, out);
    fputs("</summary>\n<div class=\"body\"><p>", out);
    escape_xml(result->ruling.evidence, out);
    fputs("</p>", out);
    write_verdicts(result, out);
    if (result->item.rule[0] != '\0') {
        fputs("<h3>The fault</h3><pre>", out);
        escape_xml(result->item.rule, out);
        fputs("</pre>\n", out);
    }
    snprintf(path, sizeof path, "%s/cases/%s", report->dirs[result->dir], result->item.id);
    if (folder_read(path, scratch, m) == 0) {
        write_crash(m, out);
        write_figures(&result->item, m, out);
        html_timeline(m, out);
        write_log(m, out);
    }
    html_stack(stacks, result->item.site, out);
    write_command(report, result, out);
    strcat(path, "/output");
    write_output(path, good ? OUTPUT_GOOD : OUTPUT_SHOWN, out);
    fputs("</div></details>\n", out);
}

void report_html(const struct campaign_report *report, FILE *out)
{
    struct result *scratch = malloc(sizeof *scratch);
    struct measures *m = malloc(sizeof *m);
    json_t *stacks = html_stacks(report);
    if (scratch == NULL || m == NULL) {
        errno = ENOMEM;
        free(scratch);
        free(m);
        json_decref(stacks);
        return;
    }
    write_head(report, out);
    write_table(report, 0, "Accepting", out);
    write_table(report, 1, "Starting", out);
    fputs("<h2>Cases</h2>\n", out);
    for (int verdict = VERDICT_COUNT - 1; verdict >= VERDICT_NONE; verdict--)
        for (size_t i = 0; i < report->count; i++)
            if ((int)report->results[i].ruling.headline == verdict && report->results[i].item.mode != MODE_CONTROL)
                write_case(report, &report->results[i], stacks, scratch, m, out);
    fprintf(out, "<script>%s</script>\n</body></html>\n", html_script);
    free(scratch);
    free(m);
    json_decref(stacks);
}
