/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * main for a fuzz target without libFuzzer: runs it on the files and on the
 * files of the directories given, as a test with any compiler, and to look
 * at a crash with a debugger.
 */
#include <dirent.h>
#include <limits.h>
#include <sys/stat.h>

#include "fuzz.h"

static unsigned long files;

static void run_file(const char *path)
{
    FILE *f = fopen(path, "rbe");
    uint8_t *data = NULL;
    size_t size = 0, cap = 0;

    if (!f) {
        perror(path);
        exit(1);
    }
    for (;;) {
        if (size == cap) {
            cap = cap ? cap * 2 : 65536;
            data = realloc(data, cap);
            MUST(data);
        }
        size_t n = fread(data + size, 1, cap - size, f);

        if (!n)
            break;
        size += n;
    }
    MUST(!ferror(f));
    fclose(f);

    uint8_t *exact = fuzz_copy(data, size);

    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    free(data);
    files++;
}

static void run_dir(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    if (!dir) {
        perror(path);
        exit(1);
    }
    while ((entry = readdir(dir))) {
        char name[PATH_MAX];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        run_file(name);
    }
    closedir(dir);
}

int main(int argc, char **argv)
{
    struct stat st;

    if (argc < 2) {
        fprintf(stderr, "usage: %s FILE|DIR...\n", argv[0]);
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        if (stat(argv[i], &st)) {
            perror(argv[i]);
            return 1;
        }
        if (S_ISDIR(st.st_mode))
            run_dir(argv[i]);
        else
            run_file(argv[i]);
    }
    printf("replayed=%lu\n", files);
    return files ? 0 : 1;
}
