/* SPDX-License-Identifier: Apache-2.0 */
/* The questions that read history: ranges of series, whole records, and lists of series. */
#ifndef BAROD_RANGE_H
#define BAROD_RANGE_H

#include "daemon/query.h"

struct registry;
struct run;

/** Make the job that answers a RangeRequest; NULL and err when it cannot be answered. */
struct job *range_job(const struct registry *registry, const struct run *run,
    const Baro__RangeRequest *request, struct baro_err *err);

/** Make the job that answers a RowsRequest; NULL and err when it cannot be answered. */
struct job *rows_job(const struct registry *registry, const struct run *run,
    const Baro__RowsRequest *request, struct baro_err *err);

/** Make the job that answers a SeriesRequest; NULL and err when it cannot be answered. */
struct job *series_job(
    const struct run *run, const Baro__SeriesRequest *request, struct baro_err *err);

#endif
