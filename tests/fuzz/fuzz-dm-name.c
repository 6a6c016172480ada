/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Input: the path of a device, also taken for a target.
 */
#include "fuzz.h"

#include "pure/dm-name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char name[COLO_DM_NAME_MAX], target[COLO_DM_NAME_MAX];
    char path[COLO_DM_PATH_MAX];
    char *text = malloc(size + 1);

    MUST(text);
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    if (colo__dm_target(text, target)) {
        MUST(target[0] == '/' && !strstr(target, "//"));
        MUST(colo__dm_path(target, path) && !strcmp(path, text));
    }
    if (!colo__dm_name(text, name, NULL)) {
        MUST(memchr(name, 0, sizeof(name)) && !strchr(name, '/'));
        MUST(!strncmp(name, COLO_DM_PREFIX, strlen(COLO_DM_PREFIX)));
    }
    if (colo__dm_path(text, path))
        MUST(colo__dm_target(path, target) && !strcmp(target, text));
    free(text);
    return 0;
}
