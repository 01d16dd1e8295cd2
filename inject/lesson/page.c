#include "lesson/page.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lesson/cells.h"
#include "lesson/embed.h"
#include "lesson/grade.h"
#include "lesson/stage.h"
#include "lesson/text.h"
#include "run/run.h"
#include "run/say.h"
#include "version.h"

enum { PATH_LENGTH = 4096 };

/* What one page is made of. */
struct page {
    FILE *out;
    const json_t *lesson, *words, *steps, *results, *choices;
    const char *language, *server;
    const char *before, *after; /* the lessons beside this one, in a folder of pages */
    bool in_folder;
};

/* --- Text as HTML ------------------------------------------------------------------------------------------------------ */

static void put_text(FILE *out, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '&':
            fputs("&amp;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        default:
            fputc(*text, out);
        }
}

/* BEFORE and AFTER are HTML, TEXT is not. */
static void put(const struct page *page, const char *before, const char *text, const char *after)
{
    fputs(before, page->out);
    put_text(page->out, text);
    fputs(after, page->out);
}

static const char *word(const struct page *page, const char *key)
{
    return text_word(page->words, key);
}

static const char *field(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static const char *part(const char *path)
{
    const struct embedded *file = embed_find(EMBED_PAGE, NULL, path);
    return file ? file->bytes : "";
}

/* JSON inside of a script element: nothing in it may look like a tag. */
static void put_json(FILE *out, const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT);
    for (const char *at = text; at && *at; at++)
        if (*at == '<')
            fputs("\\u003c", out);
        else
            fputc(*at, out);
    free(text);
}

/* --- The parts of a page ------------------------------------------------------------------------------------------------ */

static void put_head(FILE *out, const char *language, const char *title)
{
    fprintf(out,
            "<!DOCTYPE html>\n<html lang=\"%s\">\n<head>\n<meta charset=\"utf-8\">\n"
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
            "<link rel=\"icon\" href=\"data:,\">\n<title>",
            language);
    put_text(out, title);
    fprintf(out, "</title>\n<style>\n%s</style>\n</head>\n<body>\n", part("inject/lesson/page/page.css"));
}

static void put_link(const struct page *page, const char *name, const char *key)
{
    if (name == NULL)
        return;
    fprintf(page->out, "<a href=\"%s.html\">", name);
    put(page, "", word(page, key), "</a>\n");
}

static void put_navigation(const struct page *page)
{
    if (!page->in_folder)
        return;
    put(page, "<nav aria-label=\"", word(page, "ui.lessons"), "\">\n");
    put_link(page, "index", "ui.lessons");
    put_link(page, page->before, "ui.before");
    put_link(page, page->after, "ui.after");
    fputs("</nav>\n", page->out);
}

static void put_paragraphs(const struct page *page, const char *key)
{
    size_t i;
    json_t *paragraph;
    json_array_foreach(json_object_get(page->lesson, key), i, paragraph)
    {
        put(page, "<p>", json_string_value(paragraph), "</p>\n");
    }
}

static void put_question(const struct page *page)
{
    put(page, "<h1>", field(page->lesson, "title"), "</h1>\n");
    put(page, "<p class=\"question\">", field(page->lesson, "question"), "</p>\n");
    put_paragraphs(page, "about");
    put(page, "<p class=\"server\">", word(page, "ui.server"), ": <code>");
    put(page, "", page->server, "</code></p>\n");
}

/* The answers carry what the run said of them. */
static void put_exercise(const struct page *page)
{
    size_t i;
    json_t *choice;
    if (json_array_size(page->choices) == 0)
        return;
    put(page, "<form id=\"exercise\">\n<h2>", word(page, "ui.exercise"), "</h2>\n<fieldset>\n");
    put(page, "<legend>", field(page->lesson, "ask"), "</legend>\n");
    json_array_foreach(page->choices, i, choice)
    {
        bool right = json_is_true(json_object_get(choice, "passed"));
        fprintf(page->out, "<label><input type=\"radio\" name=\"answer\" value=\"%s\"> ", right ? "right" : "wrong");
        put(page, "", field(choice, "text"), "</label>\n");
    }
    put(page, "<button type=\"submit\">", word(page, "ui.check"), "</button>\n");
    put(page, "<output data-right=\"", word(page, "ui.right"), "\" ");
    put(page, "data-wrong=\"", word(page, "ui.wrong_page"), "\"></output>\n</fieldset>\n</form>\n");
}

static void put_button(const struct page *page, const char *id, const char *sign, const char *key)
{
    fprintf(page->out, "<button type=\"button\" id=\"%s\" ", id);
    put(page, "aria-label=\"", word(page, key), "\" ");
    put(page, "title=\"", word(page, key), "\">");
    fprintf(page->out, "<span aria-hidden=\"true\">%s</span></button>\n", sign);
}

static void put_controls(const struct page *page)
{
    size_t count = json_array_size(page->steps);
    put(page, "<div class=\"controls\" role=\"group\" aria-label=\"", word(page, "ui.controls"), "\">\n");
    put_button(page, "first", "|&#x25C0;&#xFE0E;", "ui.first");
    put_button(page, "back", "&#x25C0;&#xFE0E;", "ui.back");
    put(page, "<button type=\"button\" id=\"play\">", word(page, "ui.play"), "</button>\n");
    put_button(page, "forward", "&#x25B6;&#xFE0E;", "ui.forward");
    put_button(page, "last", "&#x25B6;&#xFE0E;|", "ui.last");
    fprintf(page->out, "<input type=\"range\" id=\"slider\" min=\"1\" max=\"%zu\" value=\"1\" ", count);
    put(page, "aria-label=\"", word(page, "ui.step"), "\">\n");
    fprintf(page->out, "<span id=\"where\">1 / %zu</span>\n", count);
    put(page, "<p class=\"keys\">", word(page, "ui.keys"), "</p>\n</div>\n");
}

static void put_cell(const struct page *page, const json_t *step, enum lane lane)
{
    char *text = cells_text(step, lane, page->words);
    const char *shown = text ? text : "";
    put(page, "<td data-lane=\"", word(page, cells_lane(lane)), *shown ? "\">" : "\" class=\"empty\">");
    put(page, "", shown, "</td>");
    free(text);
}

static void put_step(const struct page *page, const json_t *step)
{
    char *outside = cells_outside(step, page->words);
    long long n = (long long)json_integer_value(json_object_get(step, "n"));
    bool bad = json_is_true(json_object_get(step, "injected")) || json_object_get(step, "class") != NULL;
    fprintf(page->out, "<tr id=\"step-%lld\"%s><th scope=\"row\">%lld</th>", n,
            outside && *outside ? " class=\"outside\""
            : bad               ? " class=\"bad\""
                                : "",
            n);
    if (outside && *outside)
        put(page, "<td colspan=\"4\">", outside, "</td>");
    else
        for (int i = 0; i < LANES; i++)
            put_cell(page, step, (enum lane)i);
    fputs("</tr>\n", page->out);
    free(outside);
}

static void put_lanes(const struct page *page)
{
    size_t i;
    json_t *step;
    put(page, "<div id=\"lanes\" tabindex=\"0\" role=\"region\" aria-label=\"", word(page, "ui.lanes"),
        "\">\n<table>\n");
    fputs("<thead><tr><th scope=\"col\">#</th>", page->out);
    for (int lane = 0; lane < LANES; lane++)
        put(page, "<th scope=\"col\">", word(page, cells_lane((enum lane)lane)), "</th>");
    fputs("</tr></thead>\n<tbody>\n", page->out);
    json_array_foreach(page->steps, i, step)
    {
        put_step(page, step);
    }
    fputs("</tbody>\n</table>\n</div>\n", page->out);
}

static void put_side(const struct page *page)
{
    put(page, "<section class=\"state\">\n<h3>", word(page, "ui.state"), "</h3>\n<ul id=\"state\"></ul>\n");
    fputs("<p id=\"detail\"></p>\n</section>\n", page->out);
    put(page, "<section class=\"source\">\n<h3>", word(page, "ui.source"), " <span id=\"place\"></span></h3>\n");
    put(page, "<pre id=\"source\" tabindex=\"0\" role=\"region\" aria-label=\"", word(page, "ui.source"),
        "\"></pre>\n</section>\n");
}

static void put_player(const struct page *page)
{
    put(page, "<section id=\"player\" aria-label=\"", word(page, "ui.run"), "\">\n<h2>");
    put(page, "", word(page, "ui.run"), "</h2>\n");
    put_controls(page);
    fputs("<p id=\"now\" class=\"hidden\" aria-live=\"polite\"></p>\n<div class=\"panes\">\n", page->out);
    put_lanes(page);
    fputs("<div class=\"side\">\n", page->out);
    put_side(page);
    fputs("</div>\n</div>\n</section>\n", page->out);
}

static void put_claims(const struct page *page)
{
    size_t i;
    json_t *result;
    if (json_array_size(page->results) == 0)
        return;
    put(page, "<section class=\"claims\">\n<h2>", word(page, "ui.showed"), "</h2>\n<ul>\n");
    json_array_foreach(page->results, i, result)
    {
        bool holds = json_is_true(json_object_get(result, "passed"));
        put(page, holds ? "<li class=\"holds\"><span>" : "<li class=\"fails\"><span>",
            word(page, holds ? "ui.holds" : "ui.fails"), "</span> ");
        put(page, "", field(result, "text"), "");
        if (!holds)
            put(page, " (", field(result, "why"), ")");
        fputs("</li>\n", page->out);
    }
    fputs("</ul>\n</section>\n", page->out);
}

static void put_headed(const struct page *page, const char *key, const char *text)
{
    fprintf(page->out, "<section class=\"%s\">\n", key + 3);
    put(page, "<h2>", word(page, key), "</h2>\n");
    put(page, "<p>", text, "</p>\n</section>\n");
}

/* "accept(2)": the page on man7.org. */
static void put_manual(const struct page *page, const char *name)
{
    int length = (int)strcspn(name, "(");
    int section = name[length] == '(' ? name[length + 1] : '2';
    fprintf(page->out, "<li><a href=\"https://man7.org/linux/man-pages/man%c/%.*s.%c.html\">", section, length, name,
            section);
    put(page, "", name, "</a></li>\n");
}

/* "listener/round.c round_accept": shown in the page's own source pane. */
static void put_function(const struct page *page, const char *name)
{
    put(page, "<li><a href=\"#source\" data-function=\"", name, "\"><code>");
    put(page, "", name, "</code></a></li>\n");
}

static void put_reading(const struct page *page)
{
    size_t i;
    json_t *link;
    put(page, "<section class=\"reading\">\n<h2>", word(page, "ui.read_on"), "</h2>\n<ul>\n");
    json_array_foreach(json_object_get(page->lesson, "manual"), i, link)
    {
        put_manual(page, json_string_value(link));
    }
    json_array_foreach(json_object_get(page->lesson, "function"), i, link)
    {
        put_function(page, json_string_value(link));
    }
    fputs("</ul>\n</section>\n", page->out);
}

/* --- What the script works on ------------------------------------------------------------------------------------------- */

/* All that the steps and the links show of the sources. */
static json_t *sources_of(const struct page *page)
{
    const struct embedded *file;
    json_t *sources = json_object();
    for (size_t i = 0; (file = embed_at(i)) != NULL; i++) {
        size_t j;
        json_t *item;
        bool shown = false;
        if (file->kind != EMBED_SOURCE)
            continue;
        json_array_foreach(page->steps, j, item)
        {
            shown = shown || strcmp(field(item, "file"), file->name) == 0;
        }
        json_array_foreach(json_object_get(page->lesson, "function"), j, item)
        {
            shown = shown || strncmp(json_string_value(item), file->name, strlen(file->name)) == 0;
        }
        if (shown)
            json_object_set_new(sources, file->name, json_string(file->bytes));
    }
    return sources;
}

static json_t *data_of(const struct page *page)
{
    size_t i;
    json_t *step, *states = json_array();
    json_array_foreach(page->steps, i, step)
    {
        char *state = cells_state(step, page->words);
        json_array_append_new(states, json_string(state ? state : ""));
        free(state);
    }
    return json_pack("{s:O, s:o, s:o, s:s, s:s, s:s}", "steps", page->steps, "states", states, "sources",
                     sources_of(page), "comma", word(page, "state.comma"), "play", word(page, "ui.play"), "pause",
                     word(page, "ui.pause"));
}

static void put_page(const struct page *page)
{
    json_t *data = data_of(page);
    put_head(page->out, page->language, field(page->lesson, "title"));
    put_navigation(page);
    fputs("<main>\n", page->out);
    put_question(page);
    put_exercise(page);
    put_player(page);
    put_claims(page);
    put_headed(page, "ui.remember", field(page->lesson, "remember"));
    put_headed(page, "ui.trap", field(page->lesson, "trap"));
    put_reading(page);
    fprintf(page->out, "</main>\n<footer>snag %s</footer>\n<script type=\"application/json\" id=\"data\">",
            SNAG_VERSION);
    put_json(page->out, data);
    fprintf(page->out, "</script>\n<script>\n%s</script>\n</body>\n</html>\n", part("inject/lesson/page/page.js"));
    json_decref(data);
}

/* --- Files ---------------------------------------------------------------------------------------------------------------- */

static int finish_file(FILE *out, const char *path)
{
    bool failed = out == NULL || ferror(out);
    int error = errno;
    if (out != NULL && fclose(out) != 0) {
        failed = true;
        error = errno;
    }
    if (failed)
        say_error("can't write %s: %s", path, strerror(error));
    return failed ? EXIT_SNAG : 0;
}

static int write_page(const char *path, struct page *page)
{
    page->choices = grade_checks(page->lesson, "choice", page->steps);
    page->out = page->choices ? fopen(path, "we") : NULL;
    if (page->out)
        put_page(page);
    int status = page->choices ? finish_file(page->out, path) : EXIT_SNAG;
    json_decref((json_t *)(uintptr_t)page->choices);
    return status;
}

int page_write(const char *path, const json_t *lesson, const json_t *words, const json_t *steps, const json_t *results,
               const char *language, const char *server)
{
    struct page page = {
        .lesson = lesson, .words = words, .steps = steps, .results = results, .language = language, .server = server};
    return write_page(path, &page);
}

static int make_folder(const char *path)
{
    if (mkdir(path, 0777) == 0 || errno == EEXIST)
        return 0;
    say_error("can't make %s: %s", path, strerror(errno));
    return EXIT_SNAG;
}

/* Whether LANGUAGE has a lesson NAME of its own. */
static bool is_there(const char *language, const char *name)
{
    return embed_find(strcmp(language, "en") == 0 ? EMBED_LESSON : EMBED_TRANSLATED, language, name) != NULL;
}

static const char *neighbour(const char *language, size_t i, int step)
{
    const struct embedded *file;
    while (i + (size_t)step < SIZE_MAX && (file = embed_at(i += (size_t)step)) != NULL)
        if (file->kind == EMBED_LESSON && is_there(language, file->name))
            return file->name;
    return NULL;
}

/* Runs the lesson that file I holds, and writes its page to FOLDER. */
static int write_one(const char *folder, const char *language, size_t i)
{
    char path[PATH_LENGTH];
    const char *name = embed_at(i)->name;
    int status = EXIT_SNAG;
    json_t *lesson = text_lesson(name, language), *words = text_words(language);
    json_t *steps = lesson ? stage_run(lesson, STAGE_OURS, NULL, &status) : NULL;
    json_t *results = steps ? grade_checks(lesson, "claim", steps) : NULL;
    struct page page = {.lesson = lesson,
                        .words = words,
                        .steps = steps,
                        .results = results,
                        .language = language,
                        .server = "evconnlistener",
                        .in_folder = true,
                        .before = neighbour(language, i, -1),
                        .after = neighbour(language, i, 1)};
    snprintf(path, sizeof path, "%s/%s.html", folder, name);
    if (results)
        status = write_page(path, &page);
    if (status == 0 && !grade_all(results)) {
        say_error("lesson %s: the run did not show what the text says; see %s", name, path);
        status = 1;
    }
    json_decref(results);
    json_decref(steps);
    json_decref(words);
    json_decref(lesson);
    return status;
}

static void put_entry(const struct page *page, const char *name)
{
    json_t *lesson = text_lesson(name, page->language);
    fprintf(page->out, "<li><a href=\"%s.html\">", name);
    put(page, "", field(lesson, "title"), "</a><br>");
    put(page, "", field(lesson, "question"), "</li>\n");
    json_decref(lesson);
}

static int write_index(const char *folder, const char *language, const char *other)
{
    char path[PATH_LENGTH];
    const struct embedded *file;
    json_t *words = text_words(language);
    snprintf(path, sizeof path, "%s/index.html", folder);
    struct page page = {.out = fopen(path, "we"), .words = words, .language = language};
    if (page.out) {
        put_head(page.out, language, word(&page, "ui.index"));
        fprintf(page.out, "<nav>\n%s\n</nav>\n", other);
        put(&page, "<main>\n<h1>", word(&page, "ui.index"), "</h1>\n");
        put(&page, "<p>", word(&page, "ui.index_about"), "</p>\n<ol class=\"index\">\n");
        for (size_t i = 0; (file = embed_at(i)) != NULL; i++)
            if (file->kind == EMBED_LESSON && is_there(language, file->name))
                put_entry(&page, file->name);
        fputs("</ol>\n</main>\n</body>\n</html>\n", page.out);
    }
    json_decref(words);
    return finish_file(page.out, path);
}

static int write_folder(const char *folder, const char *language, const char *other)
{
    const struct embedded *file;
    int worst = make_folder(folder);
    for (size_t i = 0; worst != EXIT_SNAG && (file = embed_at(i)) != NULL; i++) {
        int status = file->kind == EMBED_LESSON && is_there(language, file->name) ? write_one(folder, language, i) : 0;
        worst = status > worst ? status : worst;
    }
    int status = worst == EXIT_SNAG ? worst : write_index(folder, language, other);
    return status > worst ? status : worst;
}

int page_write_all(const char *folder)
{
    char chinese[PATH_LENGTH];
    snprintf(chinese, sizeof chinese, "%s/zh", folder);
    int worst = write_folder(folder, "en", "<a href=\"zh/index.html\" lang=\"zh\">中文</a>");
    if (worst == EXIT_SNAG)
        return worst;
    int status = write_folder(chinese, "zh", "<a href=\"../index.html\" lang=\"en\">English</a>");
    return status > worst ? status : worst;
}
