/*
 * junit.c - an exploration as CI systems read it: a test case per case.
 */
#include <stdlib.h>
#include <string.h>

#include "report/campaign.h"
#include "report/escape.h"

/* Where in a table of tests it stands: the call and its site, and then the rest. */
static void write_case(const struct campaign_report *report, const struct result *result, FILE *out)
{
    fputs("    <testcase classname=\"snag.", out);
    escape_xml(call_info(result->item.call)->name, out);
    fputs("\" name=\"", out);
    escape_xml(result->item.id, out);
    fprintf(out, "\" time=\"%.3f\">\n", (double)result->took_ms / 1000);
    const char *element = result->failed                                ? "error"
                          : result_failing(report, result) != 0         ? "failure"
                          : result->ruling.headline == VERDICT_UNTESTED ? "skipped"
                                                                        : NULL;
    if (element != NULL) {
        fprintf(out, "      <%s message=\"%s: ", element, result_word(result));
        escape_xml(result->ruling.evidence, out);
        fputs(strcmp(element, "skipped") == 0 ? "\"" : "\" type=\"", out);
        if (strcmp(element, "skipped") != 0)
            fprintf(out, "%s\"", result_word(result));
        fputs(">", out);
        fputs("</", out);
        fprintf(out, "%s>\n", element);
    }
    fputs("      <system-out>", out);
    escape_xml(result_word(result), out);
    fputs(": ", out);
    escape_xml(result->ruling.evidence, out);
    fputs("\n", out);
    char *command = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&command, &size);
    if (memory != NULL) {
        result_command(report, result, memory);
        fclose(memory);
        escape_xml(command, out);
    }
    free(command);
    fputs("</system-out>\n    </testcase>\n", out);
}

void report_junit(const struct campaign_report *report, FILE *out)
{
    size_t failures = 0, errors = 0, skipped = 0, tests = 0;
    double time = 0;
    for (size_t i = 0; i < report->count; i++) {
        const struct result *result = &report->results[i];
        if (result->item.mode == MODE_CONTROL)
            continue;
        tests++;
        errors += result->failed;
        failures += !result->failed && result_failing(report, result) != 0;
        skipped += !result_fails(report, result) && result->ruling.headline == VERDICT_UNTESTED;
        time += (double)result->took_ms / 1000;
    }
    fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n", out);
    fprintf(out,
            "  <testsuite name=\"snag explore\" tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" skipped=\"%zu\" "
            "time=\"%.3f\">\n",
            tests, failures, errors, skipped, time);
    for (size_t i = 0; i < report->count; i++)
        if (report->results[i].item.mode != MODE_CONTROL)
            write_case(report, &report->results[i], out);
    fputs("  </testsuite>\n</testsuites>\n", out);
}
