/*
 * frame.h - what goes over a control socket: one request and one answer a connection, each a JSON object in one line.
 *
 *     {"command":"add","rules":["accept4:error=EMFILE"]}      {"ok":true,"numbers":[3]}
 *                                                             {"ok":true,"numbers":[4],"notes":"snag: ..."}
 *                                                             {"ok":false,"error":"snag: ..."}
 *
 * What "error" and "notes" hold is text as it goes to stderr, with its newlines.  Notes are of what was done all the same: a
 * rule was added, and the function that it names is nowhere.
 */
#ifndef SNAG_FRAME_H
#define SNAG_FRAME_H

enum {
    FRAME_REQUEST_MAX = 64 << 10, /* bytes of a request, its newline included */
    FRAME_ANSWER_MAX = 1 << 20, /* bytes of an answer: the rules of a plan, 64 KiB of text, every byte of it escaped */
};

/* Beside the board: a folder for this user alone. */
#define FRAME_FOLDER "control"
#define FRAME_SOCKET "socket"
#define FRAME_NAME "name" /* what --name said, in a file of that name; none: no name was given */

#endif
