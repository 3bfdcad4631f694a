/* How a job's stages trade time for memory. Every choice gives the same picture: what differs is when memory
 * is held, how much at once, and how often something is read or computed again. */
#ifndef MEBI_MODEL_STRATEGY_H
#define MEBI_MODEL_STRATEGY_H

typedef enum mebi__vae_way {
    MEBI__VAE_WHOLE,  /* every tensor of a resolution at once */
    MEBI__VAE_STRIPS, /* in strips of rows; two tensors of the current resolution are whole */
    MEBI__VAE_TILED,  /* in strips of rows, some computed twice; one tensor is whole */
    MEBI__VAE_WAYS
} mebi__vae_way;

/* All zeros: the fastest, which takes the most. */
typedef struct mebi__strategy {
    int free_encoder; /* 1: the text encoder's mapped weights are let go once the prompts are encoded */
    int stream;       /* 1: a layer's mapped weights are asked for while the one before it is at work, and let
                         go when it is done */
    int together;     /* 1: guidance's two passes, and the pictures of a batch, go through each layer one
                         after the other, so that its weights are read once for all of them */
    int small_chunks; /* 1: the transformer's attention and feed-forward in chunks of few rows */
    mebi__vae_way vae;
} mebi__strategy;

#endif
