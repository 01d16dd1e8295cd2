#include "lesson/exercise.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "lesson/grade.h"
#include "lesson/lanes.h"
#include "lesson/text.h"
#include "run/run.h"
#include "run/say.h"

int exercise_ask(const json_t *lesson, const json_t *words)
{
    struct lanes lanes = lanes_on(stdout, words);
    const json_t *choices = json_object_get(lesson, "choice");
    char line[32];
    size_t i;
    json_t *choice;
    lanes_introduce(&lanes, lesson);
    lanes_paragraph(&lanes, json_string_value(json_object_get(lesson, "ask")), 0);
    json_array_foreach(choices, i, choice)
    {
        printf("  %zu  %s\n", i + 1, json_string_value(json_object_get(choice, "text")));
    }
    for (;;) {
        printf("%s (1-%zu): ", text_word(words, "ui.answer"), json_array_size(choices));
        fflush(stdout);
        if (fgets(line, sizeof line, stdin) == NULL) {
            say_error("--exercise: no answer");
            return -1;
        }
        long answer = strtol(line, NULL, 10);
        if (answer >= 1 && answer <= (long)json_array_size(choices))
            return (int)answer;
    }
}

int exercise_answer(const json_t *lesson, const json_t *words, const json_t *steps, int answer)
{
    json_t *results = grade_checks(lesson, "choice", steps);
    struct lanes lanes = lanes_on(stdout, words);
    size_t i;
    json_t *result;
    if (results == NULL)
        return EXIT_SNAG;
    bool right = json_is_true(json_object_get(json_array_get(results, (size_t)answer - 1), "passed"));
    printf("\n%s\n", text_word(words, right ? "ui.right" : "ui.wrong"));
    json_array_foreach(results, i, result)
    {
        if (json_is_true(json_object_get(result, "passed")))
            lanes_paragraph(&lanes, json_string_value(json_object_get(result, "text")), 2);
    }
    putchar('\n');
    json_decref(results);
    return 0;
}
