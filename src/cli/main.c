/* mebi: the command. Finds the command's name and hands over. */
#include "cli/commands.h"
#include "cli/plain.h"
#include "mebi/mebi.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"generate", cmd_generate, "make pictures from a prompt"},
    {"serve", cmd_serve, "answer programs and browsers: a page, an API, a queue, a history"},
    {"plan", cmd_plan, "tell what pictures take in memory and time, here or elsewhere"},
    {"config", cmd_config, "show, check or begin a config.yaml"},
    {"convert", cmd_convert, "write a model's files in another form: int8, q8_0, q4_k, bf16"},
    {"cache", cmd_cache, "list or clear the weights prepared for this machine"},
    {"bench", cmd_bench, "find the sweet spot of sizes; measure speed beside the machine's peaks"},
    {"doctor", cmd_doctor, "check machine and model: speed, memory, the picture"},
    {"audit", cmd_audit, "tell what int8 costs in accuracy, layer by layer"},
    {"info", cmd_info, "print how a PNG was made, or what a model file holds"},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

int exit_code(mebi_status status) {
    switch (status) {
    case MEBI_OK: return EXIT_OK;
    case MEBI_BAD_ARGUMENT: return EXIT_USAGE;
    case MEBI_NO_MEMORY: return EXIT_TOO_BIG;
    case MEBI_CANCELLED: return EXIT_CANCELLED;
    default: return EXIT_FAILED;
    }
}

int report_failure(mebi_status status, const mebi_error *err) {
    fputs("mebi: ", stderr);
    plain_print(stderr, err->text[0] ? err->text : mebi_status_text(status));
    fputc('\n', stderr);
    return exit_code(status);
}

static void print_help(FILE *to) {
    fprintf(to,
            "mebi %s: pictures from text with Z-Image-Turbo, on your own machine\n\n"
            "usage: mebi COMMAND [OPTIONS]\n\n",
            mebi_version());
    for (int i = 0; i < COMMANDS; i++)
        fprintf(to, "  %-12s %s\n", commands[i].name, commands[i].help);
    fprintf(to, "  %-12s print the version\n\n", "version");
    fprintf(to, "mebi COMMAND --help tells a command's options. A first picture:\n\n"
                "  mebi generate -m models/mini -p \"a red apple on a white background\"\n");
}

static int is_word(const char *text, const char *a, const char *b, const char *c) {
    return strcmp(text, a) == 0 || strcmp(text, b) == 0 || strcmp(text, c) == 0;
}

static int unknown_command(const char *name) {
    fputs("mebi: there is no command '", stderr);
    plain_print(stderr, name);
    fprintf(stderr, "'. %s\n",
            name[0] == '-' ? "The command comes first: `mebi generate -p ...`."
                           : "`mebi --help` lists them.");
    return EXIT_USAGE;
}

/* `mebi help generate` is `mebi generate --help`. */
static int help(const char *topic) {
    static char option[] = "--help";
    if (!topic || is_word(topic, "help", "version", "--help")) {
        print_help(stdout);
        return EXIT_OK;
    }
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(topic, commands[i].name) == 0)
            return commands[i].run(2, (char *[]){option, option, NULL});
    return unknown_command(topic);
}

static int run(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
    if (!*name) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (is_word(name, "--help", "-h", "help")) return help(argc > 2 ? argv[2] : NULL);
    if (is_word(name, "--version", "-V", "version")) {
        printf("mebi %s\n", mebi_version());
        return EXIT_OK;
    }
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0) return commands[i].run(argc - 1, argv + 1);
    return unknown_command(name);
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of the write, not an end */
    signal(SIGXFSZ, SIG_IGN); /* so is a file-size limit */
    int code = run(argc, argv);
    /* What failed already has said so. */
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == EXIT_OK) {
        fputs("mebi: Standard output can't be written.\n", stderr);
        code = EXIT_FAILED;
    }
    return code;
}
