/* Lessons without a run: the language of checks, the texts as data, and what all texts must have. */
#include "harness.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lesson/cells.h"
#include "lesson/check.h"
#include "lesson/embed.h"
#include "lesson/grade.h"
#include "lesson/step.h"
#include "lesson/text.h"

/* --- Checks -------------------------------------------------------------------------------------------------------------- */

static json_t *some_steps(void)
{
    json_t *steps =
        json_loads("[{\"what\":\"readable\",\"queue\":2},"
                   "{\"what\":\"accept4\",\"ret\":7,\"text\":\"accept4(6, {}, [16], 0)\",\"injected\":false},"
                   "{\"what\":\"cb_enter\",\"refcount\":2,\"fd\":7},"
                   "{\"what\":\"accept4\",\"ret\":-1,\"errno\":\"EAGAIN\",\"injected\":true},"
                   "{\"what\":\"readable\",\"queue\":0}]",
                   0, NULL);
    assert_non_null(steps);
    return steps;
}

static void checks_hold_or_fail(void **state)
{
    static const struct {
        const char *check;
        enum check_result result;
    } table[] = {
        {"count accept4 = 2", CHECK_HOLDS},
        {"count accept4 = 1", CHECK_FAILS},
        {"count acc* >= 2", CHECK_HOLDS},
        {"count accept4 > 2", CHECK_FAILS},
        {"count accept4 != 3", CHECK_HOLDS},
        {"count accept4{ret>=0} = 1", CHECK_HOLDS},
        {"count accept4{ret<0,errno=EAGAIN} = 1", CHECK_HOLDS},
        {"count accept4{injected=yes} = 1", CHECK_HOLDS},
        {"count accept4{injected=no} = 1", CHECK_HOLDS},
        {"count accept4{text~\"[16], 0)\"} = 1", CHECK_HOLDS},
        {"count accept4{errno!=EAGAIN} = 1", CHECK_HOLDS},
        {"count readable after accept4 = 1", CHECK_HOLDS},
        {"count readable before accept4 = 1", CHECK_HOLDS},
        {"count accept4 after cb_enter before readable = 1", CHECK_HOLDS},
        {"none errorcb", CHECK_HOLDS},
        {"none accept4", CHECK_FAILS},
        {"none accept4 after nothing", CHECK_FAILS},
        {"order readable < accept4 < cb_enter < accept4 < readable", CHECK_HOLDS},
        {"order cb_enter < readable < accept4", CHECK_FAILS},
        {"order accept4 < cb_enter < accept4 < accept4", CHECK_FAILS},
        {"at cb_enter: refcount=2, fd=7", CHECK_HOLDS},
        {"at cb_enter: refcount=1", CHECK_FAILS},
        {"at 2 accept4: errno=EAGAIN", CHECK_HOLDS},
        {"at 3 accept4: errno=EAGAIN", CHECK_FAILS},
        {"at last readable: queue=0", CHECK_HOLDS},
        {"at every readable: queue=0", CHECK_FAILS},
        {"at every readable: queue<=2", CHECK_HOLDS},
        {"at nothing: queue=0", CHECK_FAILS},
        {"at every nothing: queue=0", CHECK_FAILS},
        {"at readable: refcount=0", CHECK_FAILS},
    };
    json_t *steps = some_steps();
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char why[256] = "";
        if (check_steps(table[i].check, steps, why, sizeof why) != table[i].result)
            fail_msg("%s: %s", table[i].check, why);
    }
    json_decref(steps);
}

static void mistakes_are_placed(void **state)
{
    static const struct {
        const char *check, *why;
    } table[] = {
        {"", "character 1: expected count, none, order or at"},
        {"counts accept4 = 1", "character 1: expected count, none, order or at"},
        {"count accept4", "character 14: expected one of = != < <= > >= ~"},
        {"count accept4 = ", "character 17: expected a number"},
        {"count accept4{ret} = 1", "expected }"},
        {"count accept4{ret=1 = 1", "expected }"},
        {"none accept4 but", "character 14: expected the end"},
        {"order accept4 <", "character 16: expected the name of a step"},
        {"at accept4 ret=1", "character 12: expected :"},
        {"at accept4: ret", "expected one of"},
        {"at accept4: text~\"x", "expected \""},
    };
    json_t *steps = some_steps();
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char why[256] = "";
        assert_int_equal(check_steps(table[i].check, steps, why, sizeof why), CHECK_MISTAKE);
        if (strstr(why, table[i].why) == NULL)
            fail_msg("%s: %s", table[i].check, why);
    }
    json_decref(steps);
}

/* --- Texts --------------------------------------------------------------------------------------------------------------- */

static void texts_are_parsed(void **state)
{
    char error[256];
    (void)state;
    json_t *text = text_parse("# a comment\ntitle: One\n  line more\nabout: a\nabout: b\nclaim: It is 2.\n"
                              "  check: count a = 2\n\tcheck: none b\r\ngrade: 3 Well\n  check: none c",
                              "here", error, sizeof error);
    assert_non_null(text);
    assert_string_equal(json_string_value(json_object_get(text, "title")), "One line more");
    assert_int_equal(json_array_size(json_object_get(text, "about")), 2);
    const json_t *claim = json_array_get(json_object_get(text, "claim"), 0);
    assert_int_equal(json_array_size(json_object_get(claim, "checks")), 2);
    assert_string_equal(json_string_value(json_array_get(json_object_get(claim, "checks"), 1)), "none b");
    const json_t *grade = json_array_get(json_object_get(text, "grade"), 0);
    assert_int_equal(json_integer_value(json_object_get(grade, "points")), 3);
    assert_string_equal(json_string_value(json_object_get(grade, "text")), "Well");
    json_decref(text);
}

static void chinese_lines_join_without_a_blank(void **state)
{
    char error[256];
    (void)state;
    json_t *text = text_parse("title: 一个\n  连接 a\n  b", "here", error, sizeof error);
    assert_non_null(text);
    assert_string_equal(json_string_value(json_object_get(text, "title")), "一个连接 a b");
    json_decref(text);
}

static void mistakes_in_texts_are_placed(void **state)
{
    static const struct {
        const char *text, *error;
    } table[] = {
        {"titel: x", "here:1: no such key: titel"},
        {"title: x\ntitle: y", "here:2: given twice: title"},
        {"\n\ntitle:", "here:3: no value for: title"},
        {"just words", "here:1: expected \"key: value\": just words"},
        {"title: x\n  check: none a", "here:2: a check must follow a claim, a choice or a grade"},
        {"grade: Well", "here:1: expected POINTS and a text: grade"},
        {"title: \xff", "here:1: no UTF-8: title"},
    };
    char error[256];
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        assert_null(text_parse(table[i].text, "here", error, sizeof error));
        assert_string_equal(error, table[i].error);
    }
}

/* Figures of TEXT (digits that are no part of a name, as in accept4) that CHECKS do not have; returns the first, or NULL. */
static const char *figure_unchecked(const char *text, const json_t *checks)
{
    static char figure[16];
    for (const char *at = text; *at; at++) {
        bool starts = isdigit((unsigned char)*at) && (at == text || (!isalnum((unsigned char)at[-1]) && at[-1] != '_'));
        size_t i, length = strspn(at, "0123456789");
        json_t *check;
        bool found = false;
        if (!starts)
            continue;
        snprintf(figure, sizeof figure, "%.*s", (int)length, at);
        json_array_foreach(checks, i, check)
        {
            found = found || strstr(json_string_value(check), figure) != NULL;
        }
        if (!found)
            return figure;
        at += length - 1;
    }
    return NULL;
}

static void look_at_claims(const json_t *lesson)
{
    size_t i;
    json_t *claim;
    json_array_foreach(json_object_get(lesson, "claim"), i, claim)
    {
        const char *text = json_string_value(json_object_get(claim, "text"));
        const json_t *checks = json_object_get(claim, "checks");
        const char *figure = figure_unchecked(text, checks);
        if (json_array_size(checks) == 0)
            fail_msg("no check: %s", text);
        if (figure != NULL)
            fail_msg("no check has the %s of: %s", figure, text);
    }
}

static size_t sentences(const char *text)
{
    size_t count = 0;
    for (const char *at = text; *at; at++)
        count += (*at == '.' && (at[1] == ' ' || at[1] == '\0')) || strncmp(at, "。", strlen("。")) == 0;
    return count;
}

/* Every figure in a claim is one that a check has; and what else a text promises its reader. */
static void figures_of_claims_are_checked(void **state)
{
    const struct embedded *file;
    (void)state;
    for (size_t i = 0; (file = embed_at(i)) != NULL; i++) {
        if (file->kind != EMBED_LESSON && file->kind != EMBED_TRANSLATED)
            continue;
        json_t *lesson = text_lesson(file->name, file->language);
        assert_non_null(lesson);
        look_at_claims(lesson);
        if (sentences(json_string_value(json_object_get(lesson, "remember"))) != 2)
            fail_msg("%s/%s: what to remember is not two sentences", file->language, file->name);
        assert_non_null(json_object_get(lesson, "function"));
        assert_non_null(json_object_get(lesson, "manual"));
        json_decref(lesson);
    }
}

/* A translation makes the same claims, by the same checks. */
static void translations_claim_the_same(void **state)
{
    const struct embedded *file;
    static const char *const keys[] = {"claim", "choice"};
    (void)state;
    for (size_t i = 0; (file = embed_at(i)) != NULL; i++) {
        if (file->kind != EMBED_TRANSLATED)
            continue;
        json_t *lesson = text_lesson(file->name, file->language), *english = text_lesson(file->name, "en");
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
            const json_t *ours = json_object_get(lesson, keys[k]), *theirs = json_object_get(english, keys[k]);
            assert_int_equal(json_array_size(ours), json_array_size(theirs));
            for (size_t j = 0; j < json_array_size(ours); j++)
                if (!json_equal(json_object_get(json_array_get(ours, j), "checks"),
                                json_object_get(json_array_get(theirs, j), "checks")))
                    fail_msg("%s/%s: %s %zu has other checks", file->language, file->name, keys[k], j + 1);
        }
        json_decref(lesson);
        json_decref(english);
    }
}

/* Whatever can be said is said in every language: the same words, with the same values in them. */
static void languages_have_the_same_words(void **state)
{
    json_t *english = text_words("en"), *chinese = text_words("zh"), *value;
    const char *key;
    (void)state;
    assert_int_equal(json_object_size(english), json_object_size(chinese));
    json_object_foreach(english, key, value)
    {
        const char *other = json_string_value(json_object_get(chinese, key));
        if (other == NULL)
            fail_msg("zh lacks %s", key);
        for (const char *at = strchr(json_string_value(value), '{'); at != NULL; at = strchr(at + 1, '{')) {
            char hole[32];
            snprintf(hole, sizeof hole, "%.*s", (int)strcspn(at, "}") + 1, at);
            if (other != NULL && strstr(other, hole) == NULL)
                fail_msg("zh: %s lacks %s", key, hole);
        }
    }
    json_decref(english);
    json_decref(chinese);
}

/* Where a lesson points to in our sources is there. */
static void functions_are_there(void **state)
{
    const struct embedded *file;
    (void)state;
    for (size_t i = 0; (file = embed_at(i)) != NULL; i++) {
        size_t j;
        json_t *link;
        json_t *lesson = file->kind == EMBED_LESSON ? text_lesson(file->name, "en") : NULL;
        json_array_foreach(json_object_get(lesson, "function"), j, link)
        {
            char path[128], name[128], call[140];
            assert_int_equal(sscanf(json_string_value(link), "%127s %127s", path, name), 2);
            const struct embedded *source = embed_find(EMBED_SOURCE, NULL, path);
            snprintf(call, sizeof call, "%s(", name);
            if (source == NULL || strstr(source->bytes, call) == NULL)
                fail_msg("%s: no %s in %s", file->name, name, path);
        }
        json_decref(lesson);
    }
}

/* --- Steps ---------------------------------------------------------------------------------------------------------------- */

static void tell(struct steps *steps, const char *text)
{
    steps_told(steps, text, strlen(text));
}

static void a_line_in_pieces_is_one_step(void **state)
{
    struct steps steps = {.list = json_array()};
    (void)state;
    tell(&steps, "{\"t\":5,\"tid\":1,\"wh");
    assert_int_equal(json_array_size(steps.list), 0);
    tell(&steps, "at\":\"a\"}\n{\"t\":3,\"tid\":1,\"what\":\"b\"}\n");
    assert_false(steps.lost);
    json_t *list = steps_finish(&steps);
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "what")), "b");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 1), "n")), 2);
    json_decref(list);
}

static void what_is_no_step_is_noticed(void **state)
{
    struct steps steps = {.list = json_array()};
    (void)state;
    tell(&steps, "what is this?\n");
    assert_true(steps.lost);
    json_decref(steps.list);
}

static void source_lines_are_found(void **state)
{
    json_t *step = json_pack("{s:s, s:i}", "file", "listener/round.c", "line", 10);
    (void)state;
    char *line = cells_source(step);
    assert_string_equal(line, "#include \"observe.h\"");
    free(line);
    json_object_set_new(step, "line", json_integer(100000));
    line = cells_source(step);
    assert_string_equal(line, "");
    free(line);
    json_decref(step);
}

TEST_MAIN(TEST(checks_hold_or_fail), TEST(mistakes_are_placed), TEST(texts_are_parsed),
          TEST(chinese_lines_join_without_a_blank), TEST(mistakes_in_texts_are_placed),
          TEST(figures_of_claims_are_checked), TEST(translations_claim_the_same), TEST(languages_have_the_same_words),
          TEST(functions_are_there), TEST(a_line_in_pieces_is_one_step), TEST(what_is_no_step_is_noticed),
          TEST(source_lines_are_found))
