/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How `baro tail` prints: a table that grows by a row per step in a terminal, "STEP NAME VALUE"
 * lines in a pipe, objects with --json. In a terminal rows that come faster than a person reads
 * are merged into the latest; a value that is not finite is always printed.
 */
#ifndef BARO_TOOLS_TAIL_VIEW_H
#define BARO_TOOLS_TAIL_VIEW_H

#include "tools/cli.h"

struct tail_view;

/** Make a view for the output of this call. */
struct tail_view *tail_view_create(struct cli *cli);

/** Free; accepts NULL. */
void tail_view_destroy(struct tail_view *view);

/** Add a series; returns its index, counted from 0. label: copied. */
size_t tail_view_add(struct tail_view *view, const char *label, uint32_t rank);

/** Show one value of a series. */
void tail_view_value(
    struct tail_view *view, size_t series_idx, int64_t step, int64_t time_ns, double value);

/** Say whether rows may be merged when they come fast (they may, until told otherwise). */
void tail_view_set_merging(struct tail_view *view, bool is_merging);

/** Print the row that is being filled, if it is due (or at once). Call once a turn. */
void tail_view_flush(struct tail_view *view, bool is_at_once);

/** Print a remark between the rows; people see it, programs do not. */
void tail_view_note(struct tail_view *view, enum term_paint paint, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Tell whether a row waits to be printed, so that the caller polls more often. */
bool tail_view_is_pending(const struct tail_view *view);

#endif
