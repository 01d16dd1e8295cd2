#include "version.h"

#ifndef SNAG_COMMIT
#define SNAG_COMMIT "unknown"
#endif

const char snag_version[] = "snag " SNAG_VERSION " (commit " SNAG_COMMIT ")\n";
