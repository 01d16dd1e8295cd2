/* html.h - the parts of the page that html.c writes. */
#ifndef SNAG_REPORT_HTML_H
#define SNAG_REPORT_HTML_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#include "explore/measures.h"
#include "report/campaign.h"

/* The style sheet and the script of the page: everything is in the one file. */
extern const char html_style[], html_script[];

/* Writes the time line of M as SVG: processor time, failing calls, clients; nothing if there are no samples. */
void html_timeline(const struct measures *m, FILE *out);

/* Returns the stacks that the baselines of REPORT recorded, by the ids of their sites; to be given back. */
json_t *html_stacks(const struct campaign_report *report);

/* Writes the nearest frames of that of SITE on a line, for the terminal; nothing if it is not known. */
void stack_line(const json_t *stacks, uint64_t site, FILE *out);

/* Writes that of SITE; nothing if it is not known. */
void html_stack(const json_t *stacks, uint64_t site, FILE *out);

#endif
