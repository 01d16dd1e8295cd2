/*
 * fuzz.h - what a fuzz target is made of.
 *
 * A target is a file NAME_fuzz.c that defines LLVMFuzzerTestOneInput().  With libFuzzer (`make fuzz`) it is given inputs
 * that grow from corpus/NAME; with corpus.c, in `make check`, the files there one by one.  An input that found a mistake
 * stays there.
 */
#ifndef SNAG_FUZZ_H
#define SNAG_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Tries SIZE bytes of DATA.  Returns 0; does not return if that shows a mistake. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold whatever the input. */
#define FUZZ_MUST(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: not so for this input: %s\n", __FILE__, __LINE__, #condition); \
            abort(); \
        } \
    } while (0)

/* Returns a file that forgets what is written to it: for messages and descriptions. */
FILE *fuzz_sink(void);

/* Returns the path of a file that holds SIZE bytes of DATA, until the next call. */
const char *fuzz_file(const uint8_t *data, size_t size);

#endif
