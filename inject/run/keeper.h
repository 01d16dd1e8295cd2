/*
 * keeper.h - the process between snag and a client or a --ready command: it adopts the orphans of the command, which
 * would else come to snag and be taken for the server's, and ends with them what the command left running.
 */
#ifndef SNAG_KEEPER_H
#define SNAG_KEEPER_H

#include <sys/types.h>

/*
 * To be called in a process that is a subreaper, blocks every signal and has started COMMAND: waits for that, kills
 * whatever else descends from this process, and ends as COMMAND did.
 */
_Noreturn void keeper_run(pid_t command);

#endif
