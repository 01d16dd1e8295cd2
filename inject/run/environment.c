#include "run/environment.h"

#include <limits.h>
#include <string.h>

const char *environment_name(enum environment_format format)
{
    static const char *const names[FORMAT_COUNT] = {[FORMAT_ENV] = "env",
                                                    [FORMAT_SHELL] = "shell",
                                                    [FORMAT_SYSTEMD] = "systemd",
                                                    [FORMAT_DOCKER] = "docker",
                                                    [FORMAT_POD] = "pod"};
    return format < FORMAT_COUNT ? names[format] : NULL;
}

/* A comment, for what is not obvious to who pastes it. */
static void comment(FILE *out, const char *session, const char *text)
{
    fprintf(out, "# session %s: %s\n", session, text);
}

static void print_systemd(const char *session, const char *shim, const char *board, const char *folder, FILE *out)
{
    comment(out, session, "systemctl edit UNIT, this, and systemctl restart UNIT; systemctl revert UNIT afterwards");
    fprintf(out,
            "[Service]\n"
            "Environment=LD_PRELOAD=%s\n"
            "Environment=SNAG_BOARD=%s\n"
            "# only needed if the unit hides these paths (ProtectHome=, PrivateTmp=, ProtectSystem=, RootDirectory=):\n"
            "BindReadOnlyPaths=%s\n"
            "BindPaths=%s\n",
            shim, board, shim, folder);
}

static void print_docker(const char *session, const char *shim, const char *board, const char *folder, FILE *out)
{
    comment(out, session, "for a Dockerfile (the image must have glibc)");
    fprintf(out,
            "ENV LD_PRELOAD=%s\n"
            "ENV SNAG_BOARD=%s\n",
            shim, board);
    comment(out, session, "and for docker run; with -e for both, no Dockerfile need be touched");
    fprintf(out, "# docker run --pid=host -v %s:%s:ro -v %s:%s -e LD_PRELOAD=%s -e SNAG_BOARD=%s IMAGE\n", shim, shim,
            folder, folder, shim, board);
}

static void print_pod(const char *session, const char *shim, const char *board, const char *folder, FILE *out)
{
    comment(out, session, "for a pod on this node (the image must have glibc)");
    fprintf(out,
            "spec:\n"
            "  hostPID: true\n"
            "  containers:\n"
            "  - name: SERVER\n"
            "    env:\n"
            "    - {name: LD_PRELOAD, value: \"%s\"}\n"
            "    - {name: SNAG_BOARD, value: \"%s\"}\n"
            "    volumeMounts:\n"
            "    - {name: snag-shim, mountPath: \"%s\", readOnly: true}\n"
            "    - {name: snag-board, mountPath: \"%s\"}\n"
            "  volumes:\n"
            "  - {name: snag-shim, hostPath: {path: \"%s\", type: File}}\n"
            "  - {name: snag-board, hostPath: {path: \"%s\", type: Directory}}\n",
            shim, board, shim, folder, shim, folder);
}

int environment_print(enum environment_format format, const char *session, const char *shim, const char *board,
                      FILE *out)
{
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", board);
    *strrchr(folder, '/') = '\0';
    switch (format) {
    case FORMAT_SYSTEMD:
        print_systemd(session, shim, board, folder, out);
        break;
    case FORMAT_DOCKER:
        print_docker(session, shim, board, folder, out);
        break;
    case FORMAT_POD:
        print_pod(session, shim, board, folder, out);
        break;
    case FORMAT_ENV:
    case FORMAT_SHELL:
    case FORMAT_COUNT:
        comment(out, session, "a server that is started with these joins it; snag ctl changes its rules");
        const char *word = format == FORMAT_SHELL ? "export " : "";
        fprintf(out, "%sLD_PRELOAD=%s\n%sSNAG_BOARD=%s\n", word, shim, word, board);
        break;
    }
    return fflush(out) == 0 && !ferror(out) ? 0 : -1;
}
