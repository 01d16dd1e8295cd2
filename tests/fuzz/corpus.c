/* corpus.c - gives files to a fuzz target without libFuzzer: NAME_fuzz FILE... */
#include "fuzz.h"

#include <errno.h>
#include <string.h>

enum { INPUT_MAX = 1 << 21 };

int main(int argc, char **argv)
{
    static uint8_t input[INPUT_MAX];
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "re");
        if (file == NULL) {
            fprintf(stderr, "%s: %s\n", argv[i], strerror(errno));
            return 1;
        }
        size_t size = fread(input, 1, sizeof input, file);
        fclose(file);
        LLVMFuzzerTestOneInput(input, size);
    }
    return argc > 1 ? 0 : 1;
}
