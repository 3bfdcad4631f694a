/* The commands. Each takes its own argv (argv[0] is the command) and returns the exit code. */
#ifndef MEBI_CLI_COMMANDS_H
#define MEBI_CLI_COMMANDS_H

#include "mebi/status.h"

enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,      /* bad arguments */
    EXIT_TOO_BIG = 3,    /* it does not fit into memory */
    EXIT_CANCELLED = 130 /* by SIGINT; 128 + the number by other signals */
};

int cmd_audit(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_generate(int argc, char **argv);
int cmd_cache(int argc, char **argv);
int cmd_config(int argc, char **argv);
int cmd_convert(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_serve(int argc, char **argv);

int exit_code(mebi_status status);

/* Prints "mebi: text" to stderr and gives the exit code for the status. */
int report_failure(mebi_status status, const mebi_error *err);

#endif
