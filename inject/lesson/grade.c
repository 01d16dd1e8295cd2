#include "lesson/grade.h"

#include <stdio.h>

#include "lesson/check.h"
#include "run/say.h"

static const char *name_of(const json_t *lesson)
{
    return json_string_value(json_object_get(lesson, "name"));
}

/* Returns -1 if a check has a mistake; else whether all hold.  WHY is of the first that does not, else of the last. */
static int holds(const json_t *lesson, const json_t *checks, const json_t *steps, char *why, size_t size)
{
    size_t i;
    json_t *check;
    json_array_foreach(checks, i, check)
    {
        enum check_result result = check_steps(json_string_value(check), steps, why, size);
        if (result == CHECK_MISTAKE) {
            say_error("lesson %s: %s", name_of(lesson), why);
            return -1;
        }
        if (result == CHECK_FAILS)
            return 0;
    }
    return 1;
}

/* A server that never served gets no points for what it did not do wrong either. */
static bool never_served(const json_t *steps)
{
    char why[80];
    return check_count("never_ready", steps, why, sizeof why) > 0;
}

json_t *grade_checks(const json_t *lesson, const char *key, const json_t *steps)
{
    size_t i;
    json_t *item, *results = json_array();
    json_array_foreach(json_object_get(lesson, key), i, item)
    {
        char why[512] = "";
        const json_t *checks = json_object_get(item, "checks");
        int passed = holds(lesson, checks, steps, why, sizeof why);
        if (passed >= 0 && json_array_size(checks) == 0) {
            say_error("lesson %s: \"%s\" has no check", name_of(lesson),
                      json_string_value(json_object_get(item, "text")));
            passed = -1;
        }
        if (passed < 0) {
            json_decref(results);
            return NULL;
        }
        if (never_served(steps)) {
            passed = 0;
            snprintf(why, sizeof why, "the server never waited on a listening socket");
        }
        int of = (int)json_integer_value(json_object_get(item, "points"));
        of = of ? of : 1;
        json_array_append_new(results, json_pack("{s:O, s:i, s:i, s:b, s:s}", "text", json_object_get(item, "text"),
                                                 "points", passed ? of : 0, "of", of, "passed", passed, "why", why));
    }
    return results;
}

bool grade_all(const json_t *results)
{
    size_t i;
    json_t *result;
    json_array_foreach(results, i, result)
    {
        if (!json_is_true(json_object_get(result, "passed")))
            return false;
    }
    return true;
}

json_t *grade_report(const json_t *lesson, const char *server, const json_t *results)
{
    size_t i;
    json_t *result;
    json_int_t points = 0, of = 0;
    json_array_foreach(results, i, result)
    {
        points += json_integer_value(json_object_get(result, "points"));
        of += json_integer_value(json_object_get(result, "of"));
    }
    return json_pack("{s:O, s:s, s:I, s:I, s:b, s:O}", "lesson", json_object_get(lesson, "name"), "server", server,
                     "points", points, "of", of, "passed", points == of, "checks", results);
}
