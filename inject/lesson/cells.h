/*
 * cells.h - a step in words: what each lane shows of it.  The words come from the texts (text_words()).
 *
 * Returned texts are to be freed; NULL without memory.
 */
#ifndef SNAG_CELLS_H
#define SNAG_CELLS_H

#include <jansson.h>
#include <stdbool.h>

enum lane { LANE_KERNEL, LANE_SHIM, LANE_ROUND, LANE_CALLBACK, LANES };

/* Returns the name of LANE as a key of the words: "lane.kernel". */
const char *cells_lane(enum lane lane);

/* Returns what LANE shows of STEP, "" if nothing.  A client's step is in no lane: cells_outside(). */
char *cells_text(const json_t *step, enum lane lane, const json_t *words);

/* Returns what happened outside of the server, "" for a step of the server's. */
char *cells_outside(const json_t *step, const json_t *words);

/* Returns the state that STEP left, "" if nothing is known of it. */
char *cells_state(const json_t *step, const json_t *words);

/* Returns the source line of STEP as it stands in its file, without the blanks before it; "" if it has none. */
char *cells_source(const json_t *step);

#endif
