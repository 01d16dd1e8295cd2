/* trace_fuzz.c - the input is a trace, of which `snag report` makes its reports. */
#include "fuzz.h"

#include "report/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fuzz_file(data, size);
    char *text[] = {(char[]){"report"}, (char *)path, NULL};
    char *json[] = {(char[]){"report"}, (char[]){"--json"}, (char *)path, NULL};
    FUZZ_MUST(cmd_report(2, text) == cmd_report(3, json));
    return 0;
}
