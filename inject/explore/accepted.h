/*
 * accepted.h - the list of what a project lives with: --baseline and --write-baseline.  A line a case, sorted:
 *
 *     accept4-emfile-held@serve spun,flooded # mended in 2.0
 */
#ifndef SNAG_ACCEPTED_H
#define SNAG_ACCEPTED_H

#include "report/campaign.h"

/*
 * Reads file PATH and marks what it lists in REPORT; says what it lists and what is no longer so.  Returns 0, or -1, having
 * said where and why.
 */
int accepted_read(const char *path, struct campaign_report *report);

/*
 * Writes the cases of REPORT that would fail, with their verdicts that do.  Of a list that is there already, comments stay
 * with the lines that do, and so do lines of cases that were not tried, if REPORT is partial.  Returns 0, or -1, having said
 * why, with the old list still there.
 */
int accepted_write(const char *path, const struct campaign_report *report);

#endif
