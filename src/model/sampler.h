/* The flow-match Euler sampler's schedule. Source: diffusers' FlowMatchEulerDiscreteScheduler as
 * ZImagePipeline drives it. */
#ifndef MEBI_MODEL_SAMPLER_H
#define MEBI_MODEL_SAMPLER_H

#include "weights/config.h"

enum { MEBI__MAX_STEPS = 120 };

/* sigma[0..steps]: from 1 down, 0 last, each rounded to f32 where the reference rounds. */
void mebi__sampler_sigmas(const mebi__scheduler_config *config, int steps, float *sigma);

/* The transformer's time input at a sigma: 1 - sigma, by way of the scheduler's timestep. */
float mebi__sampler_time(const mebi__scheduler_config *config, float sigma);

#endif
