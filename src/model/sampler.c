/* Sigmas: evenly spaced from 1 to 1/steps, then shifted towards noise. */
#include "model/sampler.h"

void mebi__sampler_sigmas(const mebi__scheduler_config *config, int steps, float *sigma) {
    float last = (float)(1.0 / steps);
    float spacing = steps > 1 ? (last - 1.0f) / (float)(steps - 1) : 0;
    for (int i = 0; i < steps; i++) {
        /* Counted from the nearer end, as the reference's linspace does. */
        float s = i < steps / 2 ? 1.0f + spacing * (float)i : last - spacing * (float)(steps - 1 - i);
        if (steps == 1) s = 1.0f;
        sigma[i] = config->shift * s / (1.0f + (config->shift - 1.0f) * s);
    }
    sigma[steps] = 0;
}

float mebi__sampler_time(const mebi__scheduler_config *config, float sigma) {
    float train = (float)config->train_timesteps;
    return (train - sigma * train) / train;
}
