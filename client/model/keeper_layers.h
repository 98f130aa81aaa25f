/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a keeper knows of all layers at once: how the units of many tensors lie over steps
 * (keeper_spread.c), and which moved most at some steps (keeper_moved.c).
 */
#ifndef CLIENT_MODEL_KEEPER_LAYERS_H
#define CLIENT_MODEL_KEEPER_LAYERS_H

#include "client/model/grid.h"
#include "client/model/keeper.h"

enum {
    SPREAD_BATCH = 16,            /* spreads in one question */
    SPREAD_BATCH_UNITS = 1 << 16, /* units in it, unless it is one tensor */
    MOVED_BATCH = 64,             /* series in one question */
    MOVED_BATCH_UNITS = 1 << 16,  /* likewise */
    MOVED_KEPT = 16,              /* steps that are remembered */
};

struct spread_entry;

/* The spreads wished for. */
struct spreads {
    size_t n;
    struct spread_entry **entries; /* in the order of the wish */
    uint64_t request;              /* 0: none */
    bool is_out;                   /* handed out by keeper_ask, not yet sent */
    struct grid grid;              /* asked for */
    bool is_open;
    size_t n_asked;
    struct model_spread_ref asked[SPREAD_BATCH];
    Baro__SeriesRef refs[SPREAD_BATCH];
    Baro__SeriesRef *ref_pointers[SPREAD_BATCH];
};

/* The units that moved at one step, as far as it is known. */
struct moved_entry {
    bool is_used, is_ready;
    enum moved_kind kind;
    enum baro_role role;
    int64_t step;
    size_t next_thing; /* of the catalog: from there on they are still to be asked for */
    uint32_t n_things, n_done;
    uint64_t used_at;
    struct moved_list list;
};

struct moving {
    struct moved_entry entries[MOVED_KEPT];
    uint64_t turn;
    uint64_t request; /* 0: none */
    bool is_out;
    size_t entry; /* that is asked for */
    size_t n_asked, next_thing;
    uint32_t n_things;
    Baro__SeriesRef refs[MOVED_BATCH];
    Baro__SeriesRef *ref_pointers[MOVED_BATCH];
};

/** Keep the spreads that are still wished for, make the new ones. */
void keeper_spread_wish(struct keeper *keeper, const struct model_wish *wish);

/** Give the next question about spreads; false: none. */
bool keeper_spread_ask(struct keeper *keeper, Baro__Envelope *out);

/** Note the request number of what keeper_spread_ask gave; false: it gave nothing. */
bool keeper_spread_sent(struct keeper *keeper, int64_t request);

/** Take a message when it answers that question; false: it does not. */
bool keeper_spread_take(struct keeper *keeper, const Baro__Envelope *envelope,
    const struct keeper_frame *frames, size_t n_frames);

/** Take a live reading of all units of a tensor. */
void keeper_spread_live(
    struct keeper *keeper, const struct model_thing *thing, const struct reading *reading);

/** Live readings were left out: ask again before long. */
void keeper_spread_missed(struct keeper *keeper);

/** Forget what is under way; findings: what was found, too. */
void keeper_spread_reset(struct keeper *keeper, bool findings);

/** Whether all that are wished for are there. */
bool keeper_spread_is_complete(const struct keeper *keeper);

/** The spreads as parts; *out_n of them. */
const struct model_spread **keeper_spread_publish(struct keeper *keeper, size_t *out_n);

/** Give the next question about moved units; false: none. */
bool keeper_moved_ask(struct keeper *keeper, Baro__Envelope *out);

/** As keeper_spread_sent. */
bool keeper_moved_sent(struct keeper *keeper, int64_t request);

/** As keeper_spread_take. */
bool keeper_moved_take(struct keeper *keeper, const Baro__Envelope *envelope,
    const struct keeper_frame *frames, size_t n_frames);

/** As keeper_spread_reset. */
void keeper_moved_reset(struct keeper *keeper, bool findings);

/** Whether the units of all wished steps are there. */
bool keeper_moved_is_complete(const struct keeper *keeper);

/** What moved at the wished steps, a new reference; NULL: nothing is wished. */
const struct model_moved *keeper_moved_publish(struct keeper *keeper);

#endif
