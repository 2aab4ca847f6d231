#ifndef TESTS_INTEGRATION_CLUSTER_PRIVATE_H
#define TESTS_INTEGRATION_CLUSTER_PRIVATE_H

/* cluster_private.h - for cluster*.c alone. */

#include <limits.h>

#include "tests/integration/cluster.h"

#define CLUSTER_DATASETS_MAX 4
#define CLUSTER_DIR_BYTES    64

struct cluster_node {
    char id[ID_BYTES_MAX];
    char dir[CLUSTER_DIR_BYTES + 32];
    char token_file[CLUSTER_DIR_BYTES + 32];
    pid_t agent; /* 0: not running */
    int slots;
};

struct cluster_dataset {
    char name[64];
    char dir[PATH_MAX];
};

struct cluster {
    char *dir;
    const char *profile;
    const char *const *service_args;
    char api_url[128];
    char agents_url[128];
    char token[160];
    pid_t service; /* 0: not running */
    struct http_client *client;
    struct cluster_node nodes[CLUSTER_NODES_MAX];
    size_t node_count;
    struct cluster_dataset datasets[CLUSTER_DATASETS_MAX];
    size_t dataset_count;
};

#endif
