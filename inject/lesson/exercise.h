/*
 * exercise.h - --exercise: what will happen?  The answer is looked up in the run.
 */
#ifndef SNAG_EXERCISE_H
#define SNAG_EXERCISE_H

#include <jansson.h>

/* Asks LESSON's question on stdout.  Returns the number of the choice that was read from stdin, from 1; -1: none. */
int exercise_ask(const json_t *lesson, const json_t *words);

/* Says whether ANSWER is what STEPS show, and what is.  Returns 0, or the exit status if a check has a mistake. */
int exercise_answer(const json_t *lesson, const json_t *words, const json_t *steps, int answer);

#endif
