/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the keeper share: keeper.c, keeper_ask.c, keeper_take.c, ... */
#ifndef CLIENT_MODEL_KEEPER_INNER_H
#define CLIENT_MODEL_KEEPER_INNER_H

#include "client/model/catalog.h"
#include "client/model/hist.h"
#include "client/model/inquiry.h"
#include "client/model/keeper.h"
#include "client/model/keeper_layers.h"
#include "client/model/strip.h"
#include "lib/base/probe_pieces.h"

enum {
    KEEPER_MAX_PENDING = 4,   /* questions under way */
    KEEPER_MAX_BATCH = 32,    /* series in one question */
    KEEPER_STALE_MODELS = 15, /* models between two questions for the same late steps */
    KEEPER_SLACK = 64,        /* columns beyond the wished ones before asking anew */
    KEEPER_MAX_SAMPLES = 8,   /* findings kept, to show them again at once */
    KEEPER_COLUMN_BYTES = 24, /* of a packed column, about */
    KEEPER_LEAST_SHEET = 16,  /* columns: with fewer a sheet of units is of no use */
    KEEPER_FAR_LINES = 64,    /* units to be shown where the line is slow */
    KEEPER_FAR_PART = 3,      /* their lines have so much less columns there */
    KEEPER_FIRST_PART = 8,    /* a first picture has so much less columns */
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
    NEED_NOTES = 128,
    NEED_OF_RUN = NEED_SUBSCRIBE_RUN | NEED_THINGS | NEED_ALERTS | NEED_EVENTS | NEED_NOTES,
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

/* The sample under way: one question, answered until it is cancelled. */
struct sampling {
    struct model_sample_wish asked; /* thing 0: nothing */
    uint32_t run;
    uint64_t request;               /* 0: not sent yet, or ended */
    uint64_t cancel;                /* an older one, to be ended; 0: none */
    bool is_answered;               /* a finding or a refusal has come */
    bool is_over;                   /* it is done, or refused */
    bool is_cancel_out, is_ask_out; /* handed out by keeper_ask, not yet sent */
    size_t n_parts;
    struct model_sample
        *parts[KEEPER_MAX_SAMPLES]; /* newest first, one a thing and statistic */
};

/* What is being asked of probes and for the story of the run. */
enum probing_stage {
    PROBING_REST, /* nothing */
    PROBING_LIST_FAILURES,
    PROBING_LIST,
    PROBING_FETCH,     /* pieces of probes */
    PROBING_WINDOW,    /* each reading near the trouble */
    PROBING_PAST,      /* columns of all of the run */
    PROBING_ONE_BATCH, /* how large they are */
    PROBING_BATCHES,
    PROBING_RESULTS, /* what samples gave */
    PROBING_STATES,  /* of which steps the state of random numbers is kept */
    PROBING_CREDIT,  /* nothing is asked: there is work to do */
};

/* What a probe is fetched for. */
enum probing_use {
    PROBING_OF_GRAPH,
    PROBING_OF_FAILURE,
    PROBING_OF_CALM,
    PROBING_USE_COUNT
};

/* A probe that is needed; step and serial 0: there is none. */
struct fetch {
    bool is_wanted; /* its bytes are still to come */
    uint64_t serial;
    int64_t step;
    enum probe_reason reason;
    char trouble[MODEL_TROUBLE_BYTES]; /* why it cannot be had; else "" */
};

/* Probes and the story of the run: keeper_probe.c, keeper_why.c. */
struct probing {
    enum probing_stage stage;
    uint32_t run;
    uint64_t request, cursor; /* 0: none */
    bool is_out;              /* handed out by keeper_ask, not yet sent */
    uint64_t begun_at;        /* n_published then */
    uint64_t signature;       /* stands for what has happened in the run ... */
    uint64_t told_signature;  /* ... and had when it was last begun */
    struct probe_list list;
    struct fetch fetches[PROBING_USE_COUNT];
    const struct model_probe *loaded[PROBING_USE_COUNT]; /* parts */
    enum probing_use use;                                /* that is being gathered */
    bool is_gathering;
    struct probe_gather gather;
    struct model_graph *graph; /* a part, NULL: not looked for yet */
    struct model *lists;       /* of the inquiry, a part */
    size_t incident;           /* of lists */
    struct why_others others;  /* failures beside the one that is told */
    struct inquiry *inquiry;   /* under way; NULL: none */
    uint32_t n_batches;        /* to ask for */
    struct model_why *told;    /* never shown itself: copies are; NULL: nothing yet */
    struct credit *credit;     /* of told; NULL: none */
    bool is_why_changed;
    Baro__SeriesRef refs[WHY_MAX_WANTS];
    Baro__SeriesRef *ref_pointers[WHY_MAX_WANTS];
};

enum comparing_stage { COMPARING_REST, COMPARING_VALUES, COMPARING_UNITS };

enum { COMPARING_MAX_REFS = 72 };

/* Units of a tensor on both sides, as far as they have been answered. */
struct compared_units {
    uint32_t thing;
    int n_answered; /* sides */
    uint32_t n[2];
    int64_t step[2];
    float *values[2];
};

/* Two moments compared: keeper_compare.c. */
struct comparing {
    enum comparing_stage stage;
    struct model_compare_wish asked; /* what is being found out, or was last */
    uint64_t request;                /* 0: none */
    bool is_out;                     /* handed out by keeper_ask, not yet sent */
    uint64_t begun_at;               /* n_published then */
    int side;                        /* at hand */
    size_t next;                     /* pair of it */
    size_t n, n_alone[2];
    struct model_compared *pairs; /* under way */
    uint32_t units_thing;         /* at hand */
    size_t n_units;
    struct compared_units units[MODEL_MAX_COMPARED_UNITS]; /* asked for longest ago first */
    struct model_compare *found;                           /* a part; NULL: nothing yet */
    Baro__SeriesRef refs[COMPARING_MAX_REFS];
    Baro__SeriesRef *ref_pointers[COMPARING_MAX_REFS];
};

/* Which records come live: keeper_live.c. */
struct keeper_live {
    uint32_t run;    /* that it is about; 0: none yet */
    uint64_t *wants; /* kind and thing, sorted */
    size_t n;
    Baro__LiveWant *asked; /* bodies of the question handed out */
    Baro__LiveWant **pointers;
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
    struct sampling sampling;   /* of wish.sample */
    struct probing probing;     /* of wish.wants_graph and .wants_why */
    struct spreads spreads;     /* of wish.spreads */
    struct moving moving;       /* of wish.moved */
    struct comparing comparing; /* of wish.compare */
    struct cover hist_cover;    /* of wish.hist_thing */
    struct hist hist;
    bool hist_is_cut;
    struct model_hist *hist_part;

    /* The second run has a keeper of its own, which asks through this one: keeper_other.c. */
    struct keeper *other;          /* of wish.other_run; NULL: none was ever wished for */
    const struct keeper *peer;     /* each of the two knows the other; NULL: there is one */
    struct model_wish *other_wish; /* what it was last told */
    bool is_second;                /* it is of a second run */
    bool is_other_asking;          /* what keeper_ask handed out is of the other */
    struct keeper_live live;
    double pace; /* bytes a second, while the line is slow; else 0 */

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
        Baro__SampleRequest sample;
        Baro__CancelRequest cancel;
        Baro__NoteRequest note;
    } body;
    Baro__SeriesRef series_refs[KEEPER_MAX_BATCH];
    Baro__SeriesRef *series_ref_pointers[KEEPER_MAX_BATCH];
};

/** Find the entry of a series; NULL when it is not wished for. *out_at: where it belongs. */
struct entry *keeper_find(
    struct keeper *keeper, struct model_ref ref, bool is_coarse, size_t *out_at);

/** Whether history has to be asked for. */
bool keeper_needs(const struct keeper *keeper, const struct cover *cover);

/** The wish's thing for units, when it is known and has units that the line can carry; or NULL. */
const struct model_thing *keeper_units_thing(struct keeper *keeper);

/** Give the next question about the sample: to end the old one, or to begin; false: none. */
bool keeper_sample_ask(struct keeper *keeper, Baro__Envelope *out);

/** Note the request number of what keeper_sample_ask gave; false: it gave nothing. */
bool keeper_sample_sent(struct keeper *keeper, int64_t request);

/** Take a message when it answers the sample's question; false: it does not. */
bool keeper_sample_take(struct keeper *keeper, const Baro__Envelope *envelope,
    const struct keeper_frame *frames, size_t n_frames);

/** Forget what is under way (the connection or the run is another); findings: those, too. */
void keeper_sample_reset(struct keeper *keeper, bool findings);

/** The finding of the wished thing and statistic, a new reference; NULL: none yet. */
const struct model_sample *keeper_sample_publish(struct keeper *keeper);

/** Whether the wished sample is there and done, or cannot be had. */
bool keeper_sample_is_complete(struct keeper *keeper);

/** Give the next question about probes or the story; false: none. */
bool keeper_probing_ask(struct keeper *keeper, Baro__Envelope *out);

/** Note the request number of what keeper_probing_ask gave; false: it gave nothing. */
bool keeper_probing_sent(struct keeper *keeper, int64_t request);

/** Take a message when it answers that question; false: it does not. */
bool keeper_probing_take(struct keeper *keeper, const Baro__Envelope *envelope,
    const struct keeper_frame *frames, size_t n_frames);

/** Note what has happened in the run: whether the story has to be told anew. */
void keeper_probing_note(struct keeper *keeper, const struct model *model);

/** Forget what is under way; findings: what was found, too. */
void keeper_probing_reset(struct keeper *keeper, bool findings);

/** Whether all that is wished for has been found out, as far as it can be. */
bool keeper_probing_is_complete(const struct keeper *keeper);

/** The probes are there: plan the story. */
void keeper_why_begin(struct keeper *keeper);

/** As keeper_probing_ask, for the story; tells it when nothing is left to ask. */
bool keeper_why_ask(struct keeper *keeper, Baro__Envelope *out);

/** Take an answer for the story. */
void keeper_why_take(struct keeper *keeper, const Baro__Envelope *envelope,
    const struct keeper_frame *frames, size_t n_frames);

/** The story as far as it is, a new reference; NULL: not wished for. */
const struct model_why *keeper_why_publish(struct keeper *keeper);

/** Forget the story under way; findings: the one that was told, too. */
void keeper_why_reset(struct keeper *keeper, bool findings);

/** Tell the keeper of the second run what is wished of it. */
void keeper_other_wish(
    struct keeper *keeper, const struct model_wish *wish, uint64_t serial);

/** Whether a second run is wished for. */
bool keeper_has_other(const struct keeper *keeper);

/** Give the next question about two moments that are compared; false: none. */
bool keeper_compare_ask(struct keeper *keeper, Baro__Envelope *out);

/** Note the request number of what keeper_compare_ask gave; false: it gave nothing. */
bool keeper_compare_sent(struct keeper *keeper, int64_t request);

/** Take a message when it answers that question; false: it does not. */
bool keeper_compare_take(struct keeper *keeper, const Baro__Envelope *envelope,
    const struct keeper_frame *frames, size_t n_frames);

/** Forget what is under way (the connection or a run is another); findings: those, too. */
void keeper_compare_reset(struct keeper *keeper, bool findings);

/** What is known, a new reference; NULL: nothing yet, or not wished for. */
const struct model_compare *keeper_compare_publish(struct keeper *keeper);

/** Whether all that is wished for is there. */
bool keeper_compare_is_complete(struct keeper *keeper);
/** How many bytes may be asked for at once: more would hold up what is asked next. */
size_t keeper_ask_bytes(const struct keeper *keeper);

/** How many bytes a sheet of units may have, which is of use only as a whole. */
size_t keeper_sheet_bytes(const struct keeper *keeper);

/** Whether the line is so slow that first pictures are worth a question of their own. */
bool keeper_is_far(const struct keeper *keeper);

/** Choose which records of the wished run come live; asks when that is more than before. */
void keeper_live_choose(struct keeper *keeper);

/** Say in a question which records of the wished run come live. */
void keeper_live_fill(struct keeper *keeper, Baro__SubscribeRequest *out);

/** Release what the choice holds. */
void keeper_live_finish(struct keeper *keeper);

/** Mark a published series as changed. */
void keeper_touch_entry(struct keeper *keeper, struct entry *entry);
/** Mark the published units as changed. */
void keeper_touch_units(struct keeper *keeper);
/** Mark the published distribution as changed. */
void keeper_touch_hist(struct keeper *keeper);

#endif
