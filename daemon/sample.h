/* SPDX-License-Identifier: Apache-2.0 */
/* SampleRequest: which few of a tensor's units to draw, as a task that refines and goes on live. */
#ifndef BAROD_SAMPLE_H
#define BAROD_SAMPLE_H

#include "daemon/registry.h"
#include "daemon/tasks.h"

/**
 * Check a request and make the task that answers it.
 *
 * returns  NULL and err when it cannot be answered: unknown or not a tensor's units, or out of a
 *          limit
 */
struct task *sample_task(const struct registry *registry, const struct run *run,
    const Baro__SampleRequest *request, struct baro_err *err);

#endif
