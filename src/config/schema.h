/* All settings, in one table: the reader of config.yaml, the commands' options and --help, `mebi
 * config` and docs/config.md come from it. */
#ifndef MEBI_CONFIG_SCHEMA_H
#define MEBI_CONFIG_SCHEMA_H

typedef enum mebi__setting_id {
    MEBI__SET_MODEL,
    MEBI__SET_DIFFUSION_MODEL,
    MEBI__SET_TEXT_ENCODER,
    MEBI__SET_VAE,
    MEBI__SET_TOKENIZER,
    MEBI__SET_THREADS,
    MEBI__SET_PRECISION,
    MEBI__SET_QUALITY,
    MEBI__SET_BUDGET,
    MEBI__SET_WEIGHTS,
    MEBI__SET_CACHE,
    MEBI__SET_SIZE,
    MEBI__SET_STEPS,
    MEBI__SET_CFG,
    MEBI__SET_CFG_TRUNCATION,
    MEBI__SET_CFG_NORMALIZATION,
    MEBI__SET_SEED,
    MEBI__SET_COUNT,
    MEBI__SET_DECODE,
    MEBI__SET_ATTENTION,
    MEBI__SET_OUTPUT_DIR,
    MEBI__SET_OUTPUT_FORMAT,
    MEBI__SET_OUTPUT_NAMING,
    MEBI__SET_SERVER_LISTEN,
    MEBI__SET_SERVER_PORT,
    MEBI__SET_SERVER_DATA,
    MEBI__SET_SERVER_TOKEN_FILE,
    MEBI__SET_SERVER_TLS_CERT,
    MEBI__SET_SERVER_TLS_KEY,
    MEBI__SET_SERVER_HOST_NAME,
    MEBI__SET_SERVER_QUEUE_LIMIT,
    MEBI__SET_SERVER_LOG,
    MEBI__SETTINGS
} mebi__setting_id;

typedef enum mebi__setting_kind {
    MEBI__KIND_PATH,    /* of a file or folder: not empty; in config.yaml ~/ is the home folder */
    MEBI__KIND_WORD,    /* one of the words */
    MEBI__KIND_INTEGER, /* within minimum..maximum, or the one word */
    MEBI__KIND_NUMBER,  /* finite, within minimum..maximum */
    MEBI__KIND_BUDGET,  /* config/budget.h */
    MEBI__KIND_SIZE,    /* config/size.h, or the one word */
    MEBI__KIND_NAMING,  /* config/naming.h */
    MEBI__KIND_TEXT,    /* anything but nothing */
} mebi__setting_kind;

enum { MEBI__SETTING_WORDS = 6 };

typedef struct mebi__setting {
    const char *name; /* in config.yaml; "output.dir" is dir below output: settings of a group
                         stand together in the table */
    mebi__setting_kind kind;
    const char *fallback; /* the default, as one would write it; "" where there is none */
    double minimum, maximum;
    const char *words[MEBI__SETTING_WORDS]; /* ended by NULL */
    const char *variable;                   /* of the environment */
    char letter;                            /* of the option; 0: none */
    const char *flag;                       /* the option's name without --; NULL: there is none */
    const char *argument;                   /* what --help calls its argument */
    const char *help;                       /* '\n' breaks lines of --help */
} mebi__setting;

extern const mebi__setting mebi__settings[MEBI__SETTINGS];

/* Another name of a setting, as users know it from elsewhere, with words of its own. */
typedef struct mebi__alias {
    const char *name;
    mebi__setting_id id;
    const char *from[MEBI__SETTING_WORDS], *to[MEBI__SETTING_WORDS]; /* ended by NULL */
    const char *help;
} mebi__alias;

enum { MEBI__ALIASES = 2 };
extern const mebi__alias mebi__aliases[MEBI__ALIASES];

/* What is called otherwise elsewhere: only for "Is ... meant?". Ended by a NULL name. */
typedef struct mebi__foreign_name {
    const char *name, *ours;
} mebi__foreign_name;

extern const mebi__foreign_name mebi__foreign_names[];

#endif
