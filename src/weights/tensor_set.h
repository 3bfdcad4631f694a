/* What mebi__tensors is made of; for the files of this folder. */
#ifndef MEBI_WEIGHTS_TENSOR_SET_H
#define MEBI_WEIGHTS_TENSOR_SET_H

#include "weights/stored.h"
#include "weights/tensors.h"

/* Tensors that mebi can't use (integers, 5 dimensions) are kept in the set, so that asking for
 * one tells why, but are not listed. */
typedef struct mebi__entry {
    mebi__tensor tensor;
    const char *type_name, *unsupported; /* as in mebi__stored */
    int wanted;
    int file;      /* index into file[] */
    float *values; /* of a scale that belongs to another entry, in memory of its own; or NULL */
} mebi__entry;

typedef enum mebi__problem_kind {
    MEBI__PROBLEM_MISSING,
    MEBI__PROBLEM_SHAPE,
    MEBI__PROBLEM_TYPE,
} mebi__problem_kind;

typedef struct mebi__problem {
    char *name;
    mebi__problem_kind kind;
    mebi__shape expected;
} mebi__problem;

struct mebi__tensors {
    mebi__part part;
    char *path; /* as given */
    mebi__stored_file *file;
    int file_count, file_capacity;
    mebi__entry *entry; /* sorted by name: the count usable ones, then the refused ones, sorted */
    int count, refused, capacity;
    struct mebi__name_block *names;
    mebi__problem *problem;
    int problem_count;
    int problems_lost; /* no memory to remember one */
};

/* The GGUF that the set was read from; NULL if it was another file. */
const mebi__stored_file *mebi__tensors_gguf(const mebi__tensors *tensors);

/* Gives every tensor the scale that the set holds for it. The set is sorted. */
MEBI_MUST_USE mebi_status mebi__tensors_attach_scales(mebi__tensors *set, mebi_error *err);
/* What programs note beside quantized weights and products don't need. */
int mebi__names_is_quantization_note(const char *name);

/* Any entry of this name, refused ones included. */
mebi__entry *mebi__tensors_entry(const mebi__tensors *tensors, const char *name);

#endif
