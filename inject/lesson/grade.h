/*
 * grade.h - what the run says of a lesson's claims, and of a student's server.
 */
#ifndef SNAG_GRADE_H
#define SNAG_GRADE_H

#include <jansson.h>
#include <stdbool.h>

/*
 * Checks LESSON's KEY ("claim", "choice", "grade") on STEPS.  Returns a list of {text, points, of, passed, why}, in their
 * order; NULL, having said where, if a check has a mistake.  A grade gives its points when all of its checks hold.
 */
json_t *grade_checks(const json_t *lesson, const char *key, const json_t *steps);

/* Whether all of RESULTS passed. */
bool grade_all(const json_t *results);

/* Returns {lesson, server, points, of, passed, checks: RESULTS}; claims have a point each. */
json_t *grade_report(const json_t *lesson, const char *server, const json_t *results);

#endif
