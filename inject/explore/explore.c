#include "explore/explore.h"

int cmd_explore(int argc, char **argv)
{
    struct config config;
    int status = config_parse(&config, argc, argv);
    if (status == -1)
        status = campaign_run(&config);
    config_free(&config);
    return status;
}
