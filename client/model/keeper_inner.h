/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the keeper share: keeper.c, keeper_ask.c, keeper_take.c. */
#ifndef CLIENT_MODEL_KEEPER_INNER_H
#define CLIENT_MODEL_KEEPER_INNER_H

#include "client/model/catalog.h"
#include "client/model/hist.h"
#include "client/model/keeper.h"
#include "client/model/strip.h"

enum {
    KEEPER_MAX_PENDING = 4,   /* questions under way */
    KEEPER_MAX_BATCH = 32,    /* series in one question */
    KEEPER_STALE_MODELS = 15, /* models between two questions for the same late steps */
    KEEPER_SLACK = 64,        /* columns beyond the wished ones before asking anew */
};

/* Once-only questions, in the order in which they are asked. */
enum keeper_need {
    NEED_SUBSCRIBE_ALL = 1,
    NEED_RUNS = 2,
    NEED_UNSUBSCRIBE_RUN = 4,
    NEED_SUBSCRIBE_RUN = 8,
    NEED_THINGS = 16,
    NEED_ALERTS = 32,
    NEED_EVENTS = 64,
};

/* How much history a series has and wants. */
struct cover {
    struct grid want, have, asked; /* width 0: none */
    bool is_open;         /* have reaches to the newest reading: live goes on from it */
    bool is_stale;        /* late steps came: ask again before long */
    uint64_t stale_since; /* n_published then */
};

/* One series. */
struct entry {
    struct model_ref ref;
    bool is_coarse;
    struct cover cover;
    struct strip strip;
    uint64_t n_coarse;         /* as in struct model_series */
    struct model_series *part; /* NULL: changed since */
};

enum pending_kind { PENDING_NEED, PENDING_SERIES, PENDING_UNITS, PENDING_HIST };

/* A question under way. */
struct pending {
    uint64_t request; /* 0: free */
    enum pending_kind kind;
    enum keeper_need need;
    uint32_t run;
    bool is_coarse, is_open;
    struct grid grid;
    size_t n_refs;
    struct model_ref refs[KEEPER_MAX_BATCH];
    uint32_t thing;
    enum unit_stat stat;
};

struct keeper {
    struct catalog *catalog;
    enum model_state state;
    const char *endpoint, *trouble;
    int64_t since_wall_ns;
    bool is_connected, is_changed;
    unsigned needs; /* enum keeper_need */
    bool has_runs, has_things, has_alerts;
    uint32_t old_run; /* to be unsubscribed */

    struct model_wish wish;
    uint64_t serial;
    size_t n_entries, entries_capacity;
    struct entry **entries; /* sorted by model_ref_compare */

    struct cover units_cover; /* of wish.units_thing and .units_stat */
    struct sheet units;
    uint64_t units_coarse; /* as in struct model_units */
    struct model_units *units_part;
    struct cover hist_cover; /* of wish.hist_thing */
    struct hist hist;
    bool hist_is_cut;
    struct model_hist *hist_part;

    uint64_t n_published;
    struct pending pending[KEEPER_MAX_PENDING];
    struct pending *asking; /* handed out by keeper_ask, not yet sent */

    /* Bodies of the question handed out. */
    union {
        Baro__RunsRequest runs;
        Baro__SeriesRequest series;
        Baro__RangeRequest range;
        Baro__AlertsRequest alerts;
        Baro__SubscribeRequest subscribe;
        Baro__RowsRequest rows;
    } body;
    Baro__SeriesRef series_refs[KEEPER_MAX_BATCH];
    Baro__SeriesRef *series_ref_pointers[KEEPER_MAX_BATCH];
};

/** Find the entry of a series; NULL when it is not wished for. *out_at: where it belongs. */
struct entry *keeper_find(
    struct keeper *keeper, struct model_ref ref, bool is_coarse, size_t *out_at);

/** Whether history has to be asked for. */
bool keeper_needs(const struct keeper *keeper, const struct cover *cover);

/** The wish's thing for units, when it is known and has units; else NULL. */
const struct model_thing *keeper_units_thing(struct keeper *keeper);

/** Mark a published series as changed. */
void keeper_touch_entry(struct keeper *keeper, struct entry *entry);
/** Mark the published units as changed. */
void keeper_touch_units(struct keeper *keeper);
/** Mark the published distribution as changed. */
void keeper_touch_hist(struct keeper *keeper);

#endif
