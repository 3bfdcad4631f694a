/* From the bytes of tokenizer files to tables. */
#ifndef MEBI_TEXT_LOAD_H
#define MEBI_TEXT_LOAD_H

#include "text/added.h"
#include "text/bpe.h"
#include "text/pattern.h"
#include "text/tokenizer.h"

#include <jansson.h>

enum {
    MEBI__ID_LIMIT = 1 << 20,        /* ids are below this */
    MEBI__TOKEN_BYTES = 4096,        /* longest token of a vocabulary, as written */
    MEBI__TOKENIZER_FILE = 32 << 20, /* bytes of a file at most */
};

/* What a tokenizer is. All zeros is a fine empty one. */
typedef struct mebi__tokenizer {
    mebi__bpe bpe;
    mebi__pattern *pattern;
    mebi__added_set raw, normalized; /* added tokens by where they are looked for */
    int nfc;                         /* 1: text is normalized to NFC before words are cut */
    int vocab;                       /* largest id + 1, added tokens included */
} mebi__tokenizer;

/* A piece of a file: its name for messages, and its bytes. text is NULL for a file that is not
 * there. */
typedef struct mebi__text_file {
    const char *name, *text;
    size_t bytes;
} mebi__text_file;

/* Fill *to, which is empty; on failure it is partly filled, and mebi__tokenizer_release empties it.
 */
MEBI_MUST_USE mebi_status mebi__load_tokenizer_json(mebi__tokenizer *to, mebi__text_file file,
                                                    mebi_error *err);
/* added: added_tokens.json; config: tokenizer_config.json, whose added_tokens_decoder wins. */
MEBI_MUST_USE mebi_status mebi__load_vocab_merges(mebi__tokenizer *to, mebi__text_file vocab,
                                                  mebi__text_file merges, mebi__text_file added,
                                                  mebi__text_file config, mebi_error *err);
MEBI_MUST_USE mebi_status mebi__load_token_lists(mebi__tokenizer *to,
                                                 const mebi__token_lists *lists,
                                                 mebi_error *err);
void mebi__tokenizer_release(mebi__tokenizer *tokenizer);

/* Between load.c and load_added.c. */
typedef struct mebi__loading {
    mebi__tokenizer *to;
    const char *name;    /* of the file that is read now */
    const json_t *vocab; /* token as written -> id, checked */
    uint64_t *used;      /* a bit for each id below MEBI__ID_LIMIT */
} mebi__loading;

/* Parses a file into an object; *root is released by json_decref. */
MEBI_MUST_USE mebi_status mebi__load_json(mebi__text_file file, json_t **root, mebi_error *err);
/* 1 and *id if value is an integer in range. */
int mebi__read_id(const json_t *value, int32_t *id);
/* Notes an id; 0 if it was noted before. */
int mebi__claim_id(mebi__loading *loading, int32_t id);

/* The three parts that all forms have, in this order: the vocabulary {token: id}, which is kept until
 * loading ends; merges from a JSON list, or from lines if list is NULL. begin takes what end gives back. */
MEBI_MUST_USE mebi_status mebi__load_begin(mebi__loading *loading, mebi__tokenizer *to,
                                           const char *name, mebi_error *err);
MEBI_MUST_USE mebi_status mebi__load_vocab(mebi__loading *loading, const json_t *vocab,
                                           mebi_error *err);
MEBI_MUST_USE mebi_status mebi__load_merges(mebi__loading *loading, const json_t *list,
                                            mebi__text_file lines, mebi_error *err);
/* Releases root (may be NULL) as well. */
void mebi__load_end(mebi__loading *loading, json_t *root);

/* The list of tokenizer.json (may be NULL); the objects of the other two files (each may be NULL).
 */
MEBI_MUST_USE mebi_status mebi__load_added_list(mebi__loading *loading, const json_t *list,
                                                mebi_error *err);
MEBI_MUST_USE mebi_status mebi__load_added_decoder(mebi__loading *loading, const json_t *decoder,
                                                   mebi_error *err);
MEBI_MUST_USE mebi_status mebi__load_added_map(mebi__loading *loading, const json_t *map,
                                               mebi_error *err);
/* Once all are in. */
MEBI_MUST_USE mebi_status mebi__load_added_finish(mebi__loading *loading, mebi_error *err);

#endif
