/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What every subcommand does with its command line, and its help.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

void cli_usage(const struct cli_command *command, FILE *out)
{
    fprintf(out, "usage: colo %s%s%s\n\n%s.\n", command->name,
            command->args[0] ? " " : "", command->args, command->summary);
    if (command->options)
        fprintf(out, "\n%s", command->options);
    fprintf(out, "\nMore in colo(1).\n");
}

static int usage_error(const struct cli_command *command)
{
    fprintf(stderr, "usage: colo %s%s%s\n"
            "See `colo %s --help`.\n", command->name,
            command->args[0] ? " " : "", command->args, command->name);
    return CLI_USAGE;
}

int cli_option(const struct cli_command *command, int c)
{
    if (c == 'h') {
        cli_usage(command, stdout);
        return CLI_OK;
    }
    return usage_error(command); /* getopt_long has named the option */
}

bool cli_operands(const struct cli_command *command, int argc, int min,
                  int max)
{
    int n = argc - optind;

    if (n >= min && n <= max)
        return true;
    cli_say("%s: %s", command->name,
            n < min ? "an argument is missing" : "too many arguments");
    usage_error(command);
    return false;
}

bool cli_number(const char *what, const char *text, uint64_t min,
                uint64_t max, uint64_t *ret_number)
{
    unsigned long long number = 0;
    char *end = NULL;

    errno = 0;
    /* strtoull takes signs and blanks; a number of ours has none */
    if (text[0] >= '0' && text[0] <= '9')
        number = strtoull(text, &end, 10);
    if (!end || *end || errno || number < min || number > max) {
        cli_say("%s %s: give a number from %llu to %llu", what, text,
                (unsigned long long)min, (unsigned long long)max);
        return false;
    }
    *ret_number = number;
    return true;
}

int cli_choice(const char *what, const char *text, const char *const *words)
{
    char list[128] = "";

    for (int i = 0; words[i]; i++) {
        size_t n = strlen(list);

        if (!strcmp(text, words[i]))
            return i;
        snprintf(list + n, sizeof(list) - n, "%s%s", i ? ", " : "", words[i]);
    }
    cli_say("%s %s: give one of %s", what, text, list);
    return -1;
}

int cli_toolstack(const char *text)
{
    static const char *const words[] = { "auto", "xl", "libvirt", NULL };

    return cli_choice("--toolstack", text, words);
}

int cli_peer(const char *text)
{
    static const char *const words[] = { "libcolo", "auto", "stock", NULL };

    return cli_choice("--peer", text, words);
}
