/* An engine whose threads step back for the server's: answers take little, and come at once also
 * beside a job. */
#ifndef MEBI_SERVER_POLITE_H
#define MEBI_SERVER_POLITE_H

#include "jobs/jobs.h"

/* Takes the engine over; without memory it is given back as it was. */
mebi__job_engine mebi__polite_engine(mebi__job_engine engine);

#endif
