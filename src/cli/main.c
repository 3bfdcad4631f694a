/* mebi: the command. Finds the command's name and hands over. */
#include "cli/commands.h"
#include "mebi/mebi.h"

#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"generate", cmd_generate, "make pictures from a prompt"},
    {"info", cmd_info, "print what a PNG says about how it was made"},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

int report_failure(mebi_status status, const mebi_error *err) {
    fprintf(stderr, "mebi: %s\n", err->text[0] ? err->text : mebi_status_text(status));
    switch (status) {
    case MEBI_OK: return EXIT_OK;
    case MEBI_BAD_ARGUMENT: return EXIT_USAGE;
    case MEBI_NO_MEMORY: return EXIT_TOO_BIG;
    case MEBI_CANCELLED: return EXIT_CANCELLED;
    default: return EXIT_FAILED;
    }
}

static void print_help(FILE *to) {
    fprintf(to, "mebi %s: pictures from text with Z-Image-Turbo, on your own machine\n\n"
                "usage: mebi COMMAND [OPTIONS]\n\n",
            mebi_version());
    for (int i = 0; i < COMMANDS; i++)
        fprintf(to, "  %-12s %s\n", commands[i].name, commands[i].help);
    fprintf(to, "  %-12s print the version\n\n", "version");
    fprintf(to, "mebi COMMAND --help tells a command's options. A first picture:\n\n"
                "  mebi generate -m models/mini -p \"a red apple on a white background\"\n");
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of the write, not an end */
    signal(SIGXFSZ, SIG_IGN); /* so is a file-size limit */
    if (!*name) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        for (int i = 0; argc > 2 && i < COMMANDS; i++)
            if (strcmp(argv[2], commands[i].name) == 0)
                return commands[i].run(2, (char *[]){argv[2], (char[]){"--help"}, NULL});
        print_help(stdout);
        return EXIT_OK;
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "version") == 0) {
        printf("mebi %s\n", mebi_version());
        return EXIT_OK;
    }
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0) return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "mebi: there is no command '%s'. `mebi --help` lists them.\n", name);
    return EXIT_USAGE;
}
