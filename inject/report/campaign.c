#include "report/campaign.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "explore/explore.h"
#include "run/run.h"
#include "run/say.h"
#include "run/summary.h"
#include "trace/jsonl.h"

uint32_t result_failing(const struct campaign_report *report, const struct result *result)
{
    return result->ruling.set & report->fail_on & ~result->accepted;
}

bool result_fails(const struct campaign_report *report, const struct result *result)
{
    return result->failed || result_failing(report, result) != 0;
}

const char *result_word(const struct result *result)
{
    const char *word = verdict_word(result->ruling.headline);
    return result->failed || word == NULL ? "failed" : word;
}

void shell_word(const char *word, FILE *out)
{
    if (word[0] != '\0' &&
        strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-") == strlen(word)) {
        fputs(word, out);
        return;
    }
    fputc('\'', out);
    for (; *word != '\0'; word++)
        if (*word == '\'')
            fputs("'\\''", out);
        else
            fputc(*word, out);
    fputc('\'', out);
}

void result_command(const struct campaign_report *report, const struct result *result, FILE *out)
{
    char path[FOLDER_PATH_MAX];
    snprintf(path, sizeof path, "%s/cases/%s", report->dirs[result->dir], result->item.id);
    fputs("snag replay ", out);
    shell_word(path, out);
}

/* --- summary.json ------------------------------------------------------------------------------------------------ */

/* As verdict.json has it, without the figures. */
static json_t *case_json(const struct campaign_report *report, const struct result *result)
{
    char path[FOLDER_PATH_MAX];
    snprintf(path, sizeof path, "%s/cases/%s", report->dirs[result->dir], result->item.id);
    json_t *object = folder_verdict_json(path);
    if (object == NULL)
        return NULL;
    json_object_del(object, "figures");
    json_object_del(object, "format");
    json_object_set_new(object, "fails", json_boolean(result_fails(report, result)));
    return object;
}

static json_t *sites_json(const struct campaign_report *report)
{
    json_t *list = json_array();
    for (size_t i = 0; i < report->count; i++) {
        const struct fault_case *item = &report->results[i].item;
        bool known = item->mode == MODE_CONTROL;
        for (size_t j = 0; j < i && !known; j++)
            known = report->results[j].item.call == item->call && report->results[j].item.site == item->site;
        if (known)
            continue;
        char site[17];
        snprintf(site, sizeof site, "%016jx", (uintmax_t)item->site);
        json_array_append_new(list, json_pack("{s:s, s:o, s:o}", "call", call_info(item->call)->name, "id",
                                              item->site != 0 ? json_string(site) : json_null(), "function",
                                              item->site_name[0] != '\0' ? jsonl_text(item->site_name) : json_null()));
    }
    return list;
}

static json_t *summary_of(const struct campaign_report *report)
{
    json_t *server = json_array(), *cases = json_array();
    for (char *const *word = report->server; word != NULL && *word != NULL; word++)
        json_array_append_new(server, jsonl_text(*word));
    for (size_t i = 0; i < report->count; i++) {
        json_t *one = case_json(report, &report->results[i]);
        if (one != NULL)
            json_array_append_new(cases, one);
    }
    return json_pack("{s:i, s:o, s:b, s:o, s:o}", "format", 1, "server", server, "complete", !report->incomplete,
                     "sites", sites_json(report), "cases", cases);
}

/* --- Files ------------------------------------------------------------------------------------------------------- */

typedef void writer(const struct campaign_report *report, FILE *out);

static int write_file(const struct campaign_report *report, const char *dir, const char *name, writer *write)
{
    char path[FOLDER_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    errno = 0;
    FILE *file = fopen(path, "we");
    if (file != NULL) {
        write(report, file);
        bool failed = ferror(file) != 0;
        if (fclose(file) == 0 && !failed)
            return 0;
    }
    int saved = errno != 0 ? errno : EIO;
    unlink(path); /* half a report is worse than none */
    say_error("can't write %s: %s", path, strerror(saved));
    return -1;
}

static int write_summary(const struct campaign_report *report, const char *dir)
{
    char path[FOLDER_PATH_MAX + 32];
    json_t *object = summary_of(report);
    snprintf(path, sizeof path, "%s/summary.json", dir);
    int result = summary_write(path, object);
    if (result != 0)
        say_error("can't write %s: %s", path, strerror(errno));
    json_decref(object);
    return result;
}

static int status_of(const struct campaign_report *report)
{
    size_t tested = 0, failing = 0;
    for (size_t i = 0; i < report->count; i++) {
        const struct result *result = &report->results[i];
        if (result->item.mode == MODE_CONTROL)
            continue;
        tested += !result->failed && result->ruling.headline != VERDICT_UNTESTED;
        failing += result_failing(report, result) != 0;
        if (result->failed)
            return EXIT_SNAG;
    }
    if (report->incomplete || tested == 0)
        return EXIT_SNAG;
    return failing > 0 ? 1 : 0;
}

int campaign_report_all(const struct campaign_report *report, const char *dir)
{
    if (dir != NULL && (write_summary(report, dir) != 0 || write_file(report, dir, "junit.xml", report_junit) != 0 ||
                        write_file(report, dir, "report.html", report_html) != 0))
        return EXIT_SNAG;
    report_terminal(report, stdout);
    if (dir != NULL)
        printf("\n%s/report.html has the evidence\n", dir);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        say_error("can't write the report: %s", strerror(errno));
        return EXIT_SNAG;
    }
    return status_of(report);
}

/* --- On folders that are there ----------------------------------------------------------------------------------- */

static int fault_rank(const struct fault_case *item)
{
    if (item->call >= CALL_COUNT || item->error == 0)
        return 1000;
    const struct call_info *info = call_info(item->call);
    for (size_t i = 0; i < call_errno_count(item->call); i++)
        if (info->errnos[i].number == item->error)
            return (int)i;
    return 999;
}

static int compare(const void *left, const void *right)
{
    const struct fault_case *a = &((const struct result *)left)->item, *b = &((const struct result *)right)->item;
    if (call_accepts(a->call) != call_accepts(b->call))
        return call_accepts(a->call) ? -1 : 1;
    if (a->call != b->call)
        return a->call < b->call ? -1 : 1;
    int place = strcmp(a->site_name, b->site_name);
    if (place == 0)
        place = strcmp(a->address, b->address);
    if (place != 0)
        return place;
    if (fault_rank(a) != fault_rank(b))
        return fault_rank(a) < fault_rank(b) ? -1 : 1;
    if (a->mode != b->mode)
        return a->mode < b->mode ? -1 : 1;
    return a->nth < b->nth ? -1 : a->nth > b->nth;
}

void results_sort(struct result *results, size_t count)
{
    if (count > 0)
        qsort(results, count, sizeof *results, compare);
}

struct gathering {
    struct campaign_report report;
    size_t room;
    char **server;
    struct measures *m;
};

static int gather_case(struct gathering *gathering, const char *path, unsigned dir)
{
    struct campaign_report *report = &gathering->report;
    if (report->count == gathering->room) {
        size_t room = gathering->room ? 2 * gathering->room : 256;
        struct result *more = realloc(report->results, room * sizeof *more);
        if (more == NULL) {
            say_error("no memory for the report");
            return -1;
        }
        report->results = more;
        gathering->room = room;
    }
    struct result *result = &report->results[report->count];
    if (folder_read(path, result, gathering->m) != 0)
        return -1;
    result->dir = dir;
    report->count += result->item.mode != MODE_CONTROL;
    return 0;
}

static int gather_folder(struct gathering *gathering, const char *dir, unsigned index)
{
    char path[FOLDER_PATH_MAX + 300], verdict[FOLDER_PATH_MAX + 320];
    struct dirent *entry;
    struct stat status;
    int result = 0;
    snprintf(path, sizeof path, "%s/cases", dir);
    DIR *folder = opendir(path);
    if (folder == NULL) {
        say_error("%s: expected a folder of snag explore, with the folder cases in it: %s", dir, strerror(errno));
        return -1;
    }
    while (result == 0 && (entry = readdir(folder)) != NULL) {
        snprintf(path, sizeof path, "%s/cases/%s", dir, entry->d_name);
        snprintf(verdict, sizeof verdict, "%s/verdict.json", path);
        if (entry->d_name[0] != '.' && stat(verdict, &status) == 0)
            result = gather_case(gathering, path, index);
    }
    closedir(folder);
    return result;
}

/* The server of the first folder; and whether any of them is not complete. */
static void gather_summary(struct gathering *gathering, const char *dir)
{
    char path[FOLDER_PATH_MAX];
    snprintf(path, sizeof path, "%s/summary.json", dir);
    json_t *object = json_load_file(path, 0, NULL);
    const json_t *server = json_object_get(object, "server");
    if (!json_is_true(json_object_get(object, "complete")))
        gathering->report.incomplete = true;
    if (gathering->server == NULL) {
        size_t count = json_array_size(server);
        gathering->server = calloc(count + 1, sizeof *gathering->server);
        for (size_t i = 0; gathering->server != NULL && i < count; i++) {
            const char *word = json_string_value(json_array_get(server, i));
            gathering->server[i] = strdup(word != NULL ? word : "");
        }
        gathering->report.server = gathering->server;
    }
    json_decref(object);
}

static int print(const struct campaign_report *report, const char *format)
{
    if (format == NULL)
        report_terminal(report, stdout);
    else if (strcmp(format, "markdown") == 0)
        report_markdown(report, stdout);
    else if (strcmp(format, "junit") == 0)
        report_junit(report, stdout);
    else if (strcmp(format, "html") == 0)
        report_html(report, stdout);
    else {
        json_t *object = summary_of(report);
        if (object == NULL || json_dumpf(object, stdout, JSON_INDENT(2)) != 0 || putchar('\n') == EOF)
            errno = errno != 0 ? errno : ENOMEM;
        json_decref(object);
    }
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status_of(report);
    say_error("can't write the report: %s", strerror(errno));
    return EXIT_SNAG;
}

/* The same case in two folders: a shard was run twice.  The graver one stays. */
static void remove_twins(struct campaign_report *report)
{
    size_t kept = 0;
    for (size_t i = 0; i < report->count; i++) {
        struct result *last = kept > 0 ? &report->results[kept - 1] : NULL;
        if (last == NULL || strcmp(last->item.id, report->results[i].item.id) != 0)
            report->results[kept++] = report->results[i];
        else if (report->results[i].ruling.headline > last->ruling.headline)
            *last = report->results[i];
    }
    report->count = kept;
}

int campaign_report_on(const char *const *dirs, size_t count, const char *format, uint32_t fail_on)
{
    struct gathering gathering = {.report = {.dirs = dirs, .dir_count = count, .fail_on = fail_on}};
    int status = EXIT_SNAG, result = 0;
    gathering.m = malloc(sizeof *gathering.m);
    for (size_t i = 0; i < count && result == 0; i++) {
        gather_summary(&gathering, dirs[i]);
        result = gathering.m != NULL ? gather_folder(&gathering, dirs[i], (unsigned)i) : -1;
    }
    if (result == 0 && gathering.report.count == 0) {
        say_error("no case is there in %s", dirs[0]);
    } else if (result == 0) {
        results_sort(gathering.report.results, gathering.report.count);
        remove_twins(&gathering.report);
        status = print(&gathering.report, format);
    }
    for (char **word = gathering.server; word != NULL && *word != NULL; word++)
        free(*word);
    free(gathering.server);
    free(gathering.report.results);
    free(gathering.m);
    return status;
}
