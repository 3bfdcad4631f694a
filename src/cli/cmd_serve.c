/* mebi serve: the server until a signal ends it. Must never print a token, and never listen where
 * others can reach it without one. */
#include "base/error.h"
#include "base/memory.h"
#include "base/os.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/model_options.h"
#include "cli/plain.h"
#include "cli/serve_checks.h"
#include "doctor/processor.h"
#include "server/server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

typedef struct command {
    model_options model;
    mebi_engine_params params;
    int finish, help;
    char *folder, *own_config; /* the data folder, and its config.yaml */
    char name[256], machine[100];
    serve_checks checks;
} command;

enum { OPTIONS = 40, DESCRIPTORS = 4096 };

static int print_usage(const option *options, int count) {
    printf(
        "usage: mebi serve [-m MODEL] [--port N] [OPTIONS]\n\n"
        "Answers browsers and programs over HTTP: a page, an API, a queue of jobs and a history\n"
        "of pictures, all in one data folder. Only this machine can reach it, unless --listen "
        "says\n"
        "otherwise. Ctrl-C or SIGTERM ends it; a job under way goes on from its last step when it\n"
        "is started again.\n\n");
    options_print(stdout, options, count);
    printf("\nExit codes: 0 ended as asked, 1 failed, 2 bad arguments.\n");
    return EXIT_OK;
}

static mebi_status parse(int argc, char **argv, command *c, mebi_error *err) {
    option o[OPTIONS];
    int rest, n = model_options_list(&c->model, o);
    for (int id = MEBI__SET_SERVER_LISTEN; id <= MEBI__SET_SERVER_LOG; id++)
        o[n++] = setting_option(&c->model, (mebi__setting_id)id);
    o[n++] = (option){.name = "finish",
                      .kind = OPTION_FLAG,
                      .value = &c->finish,
                      .help = "on a signal, finish the job under way before the end"};
    o[n++] = (option){
        .letter = 'h', .name = "help", .kind = OPTION_FLAG, .value = &c->help, .help = "this text"};
    MEBI_TRY(options_parse(o, n, argc, argv, NULL, 0, &rest, err));
    if (c->help) print_usage(o, n);
    return MEBI_OK;
}

/* ---- settings ---- */

static const char *text_of(const command *c, mebi__setting_id id) {
    return mebi__config_text(&c->model.config, id);
}

static const char *text_or_null(const command *c, mebi__setting_id id) {
    const char *text = text_of(c, id);
    return *text ? text : NULL;
}

static mebi_status find_folder(command *c, mebi_error *err) {
    const char *asked = text_of(c, MEBI__SET_SERVER_DATA), *xdg = getenv("XDG_DATA_HOME"),
               *home = getenv("HOME");
    if (strcmp(asked, "auto") != 0) c->folder = mebi__copy_string(asked, strlen(asked));
    else if (xdg && *xdg == '/') c->folder = mebi__join_path(xdg, "mebi");
    else if (home && *home == '/') c->folder = mebi__join_path(home, ".local/share/mebi");
    else
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "There is no place for jobs and pictures: neither XDG_DATA_HOME nor HOME "
                          "is set. Name a "
                          "folder: --data DIR.");
    return c->folder ? MEBI_OK : mebi__fail(err, MEBI_NO_MEMORY, "No memory for a path.");
}

/* What the page changed is in the data folder. Where that is, is said by options, the environment,
 * or the file read first; with the folder's own file, all is read again, that file in the place of
 * the user's. */
static mebi_status resolve(command *c, mebi_error *err) {
    MEBI_TRY(model_options_resolve(&c->model, &c->params, err));
    MEBI_TRY(find_folder(c, err));
    if (c->model.config_path) return MEBI_OK;
    c->own_config = mebi__join_path(c->folder, "config.yaml");
    if (!c->own_config) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a path.");
    if (!mebi__is_file(c->own_config)) return MEBI_OK;
    mebi__config_free(&c->model.config);
    c->model.config = (mebi__config){.path = NULL};
    c->model.config_path = c->own_config;
    return model_options_resolve(&c->model, &c->params, err);
}

/* The engine reads these for as long as it is open, and the settings change hands and may change
 * meanwhile. */
static mebi_status keep_strings(mebi_engine_params *p, char *kept[6], mebi_error *err) {
    const char **all[] = {&p->model, &p->diffusion_model, &p->text_encoder,
                          &p->vae,   &p->tokenizer,       &p->cache};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!*all[i]) continue;
        kept[i] = mebi__copy_string(*all[i], strlen(*all[i]));
        if (!kept[i]) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the settings.");
        *all[i] = kept[i];
    }
    return MEBI_OK;
}

/* ---- running ---- */

/* Event streams are connections, and each is a descriptor. */
static void raise_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= DESCRIPTORS) return;
    limit.rlim_cur = limit.rlim_max < DESCRIPTORS ? limit.rlim_max : DESCRIPTORS;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static mebi_status open_server(command *c, mebi__server **server, mebi_error *err) {
    mebi__server_params p = {
        .folder = c->folder,
        .address = text_of(c, MEBI__SET_SERVER_LISTEN),
        .port = (int)mebi__config_integer(&c->model.config, MEBI__SET_SERVER_PORT),
        .token_file = text_or_null(c, MEBI__SET_SERVER_TOKEN_FILE),
        .tls_certificate = text_or_null(c, MEBI__SET_SERVER_TLS_CERT),
        .tls_key = text_or_null(c, MEBI__SET_SERVER_TLS_KEY),
        .host_names = text_or_null(c, MEBI__SET_SERVER_HOST_NAME),
        .queue_limit = (int)mebi__config_integer(&c->model.config, MEBI__SET_SERVER_QUEUE_LIMIT),
        .log = {(mebi__log_form)mebi__config_word(&c->model.config, MEBI__SET_SERVER_LOG),
                STDERR_FILENO},
        .model_name = c->name,
        .machine = c->machine,
        .config = &c->model.config,
        .config_path = c->own_config,
        .checks = {&c->checks, serve_checks_run}};
    c->params.calibrate = 1;
    c->checks = (serve_checks){&c->params, c->folder};
    snprintf(c->name, sizeof c->name, "%s", model_options_name(&c->params));
    mebi__processor_name(c->machine, sizeof c->machine);
    p.engine = mebi__job_engine_of(&c->params);
    return mebi__server_open(&p, server, err);
}

static void tell_address(const char *address, const mebi__server *server) {
    int six = strchr(address, ':') != NULL;
    const char *open =
        strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0 ? "127.0.0.1" : NULL;
    printf("mebi listens on %s://%s%s%s:%d/\n", mebi__server_is_tls(server) ? "https" : "http",
           six && !open ? "[" : "", open ? open : address, six && !open ? "]" : "",
           mebi__server_port(server));
    fflush(stdout);
}

static void wait_for_signal(void) {
    const struct timespec nap = {0, 100 * 1000 * 1000};
    while (!interrupt_came(NULL)) nanosleep(&nap, NULL);
}

static mebi_status run(command *c, mebi_error *err) {
    char *kept[6] = {NULL}, *address = NULL;
    mebi__server *server = NULL;
    mebi_status status = resolve(c, err);
    if (status == MEBI_OK) status = keep_strings(&c->params, kept, err);
    if (status == MEBI_OK) {
        const char *text = text_of(c, MEBI__SET_SERVER_LISTEN);
        address = mebi__copy_string(text, strlen(text));
        raise_limit();
        status = open_server(c, &server, err);
    }
    if (status == MEBI_OK) {
        tell_address(address ? address : "127.0.0.1", server);
        wait_for_signal();
        fprintf(stderr, "mebi: ending%s. A second signal ends at once.\n",
                c->finish ? " after the job under way" : "");
    }
    mebi__server_close(&server, c->finish, NULL);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) mebi__free(kept[i]);
    mebi__free(address);
    return status;
}

int cmd_serve(int argc, char **argv) {
    static command c; /* too large for a stack that others may have made small */
    c = (command){.finish = 0};
    mebi_error err = {0};
    mebi_status status = parse(argc, argv, &c, &err);
    if (status == MEBI_OK && c.help) return EXIT_OK;
    if (status == MEBI_OK) {
        interrupt_watch();
        status = run(&c, &err);
    }
    mebi__free(c.folder);
    mebi__free(c.own_config);
    model_options_end(&c.model);
    return status == MEBI_OK ? EXIT_OK : report_failure(status, &err);
}
