/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model: what views read. A model is an immutable snapshot of what is known about the
 * daemon, its runs, and the series that the page wished for. Its pieces are parts that
 * snapshots share, so taking a new one costs little. Text belongs to the keeper that made the
 * model (keeper.h) and lives as long as it. Lists of one rank: the lowest that pushed a thing.
 */
#ifndef CLIENT_MODEL_MODEL_H
#define CLIENT_MODEL_MODEL_H

#include "client/model/grid.h"
#include "client/model/part.h"
#include "client/model/sheet.h"
#include "lib/analysis/credit.h"
#include "lib/analysis/moved.h"
#include "lib/analysis/sample.h"
#include "lib/analysis/spread.h"
#include "lib/analysis/why.h"
#include "lib/base/probe.h"
#include "lib/base/reading.h"
#include "proto/wire.h"

enum model_state {
    MODEL_CONNECTING, /* nothing heard yet, and not for long */
    MODEL_AWAY,       /* no daemon answers; trouble: why, where that is known */
    MODEL_READY,
    MODEL_MISMATCH, /* it speaks another protocol; trouble says which side to update */
    MODEL_STATE_COUNT
};

enum {
    MODEL_MAX_DIMS = 8,
    MODEL_MAX_SAMPLES = 16,
    MODEL_MAX_REFS = 4096,
    MODEL_MAX_OTHER_REFS = 2048,
    MODEL_MAX_COMPARED = 8192,
    MODEL_MAX_COMPARED_UNITS = 48,
    MODEL_MAX_ALWAYS = 64,
    MODEL_MAX_MEMBERS = 48,
    MODEL_MAX_SPREADS = 96,
    MODEL_MAX_MOVED = 9, /* steps whose most moved units are wished for */
    MODEL_MAX_SENTENCES = 4,
    MODEL_MAX_EVIDENCE = 6,
    MODEL_MAX_CREDIT_NODES = 64,
    MODEL_MAX_CREDIT_EDGES = 256,
    MODEL_MAX_CREDIT_UNITS = 128,
    MODEL_TROUBLE_BYTES = 240
};

struct model_run {
    uint32_t run;
    const char *id, *project, *name, *config, *host;
    const char *status_text; /* reason of a failure, else "" */
    Baro__RunStatus status;
    int64_t n_steps, first_step, last_step;
    int64_t first_time_ns, last_time_ns;
    bool has_loss;
    double last_loss;
    uint32_t n_alerts, n_ranks;
    enum baro_level worst_level; /* 0 for none */
    uint64_t n_dropped;
    const char *branch; /* "~1": it gave its id to a branch and is called so; else "" */
    uint32_t parent;    /* the run that it branched from; 0: none */
    int64_t branch_step;
    bool is_overwritten;
    bool is_steerable; /* a process of it looks at what a person asks */
};

/* Newest first. */
struct model_runs {
    size_t n;
    struct model_run at[];
};

/* A scalar or a tensor. */
struct model_thing {
    uint32_t thing;
    uint32_t rank;
    bool is_tensor;
    const char *name;
    enum baro_role role;   /* 0 for scalars */
    enum baro_dtype dtype; /* 0 for scalars */
    uint32_t n_dims;
    int64_t shape[MODEL_MAX_DIMS];
    uint32_t n_units;
    uint32_t epoch; /* from 1; the same name with another type or shape is a later one */
    uint64_t n_points;
    int64_t first_step, last_step;
    /* Steps between readings, and between those of units, lately at most; 0 unknown. */
    double cadence, unit_cadence;
    double last_value;
    uint64_t n_nonfinite;
    enum baro_level worst_level; /* 0 for none */
};

/* By id: the order in which the run named them. */
struct model_things {
    size_t n;
    struct model_thing at[];
};

struct model_alert {
    uint64_t id, incident;
    int64_t step, time_ns;
    int64_t noticed_step; /* at whose completion it was noticed; step is where it shows */
    const char *kind, *tensor, *module, *role, *text, *advice;
    enum baro_level level;
    uint32_t thing;
    int64_t unit, row; /* -1: none, unknown */
    double value;
    bool has_sample;
    uint64_t batch_size;
    size_t n_samples;
    int64_t samples[MODEL_MAX_SAMPLES]; /* the first of them */
};

/* In order of their steps. */
struct model_alerts {
    size_t n;
    struct model_alert at[];
};

struct model_event {
    int64_t step, time_ns;
    enum baro_level level;
    const char *text;
};

/* In order of arrival. */
struct model_events {
    size_t n;
    struct model_event at[];
};

/* A person's word on a step; without text only a mark. */
struct model_note {
    uint64_t id;
    int64_t step, time_ns;
    const char *author, *text;
};

/* In order of their steps. */
struct model_notes {
    size_t n;
    struct model_note at[];
};

/* Which series. All units of a tensor come as a sheet or as a sample, a few one by one. */
struct model_ref {
    uint32_t thing;
    uint16_t kind; /* READING_SCALAR, READING_STEP, READING_SUMMARY, READING_UNITS */
    uint16_t stat; /* enum summary_stat or unit_stat, else 0 */
    uint32_t unit; /* READING_UNITS: which, else 0 */
};

/* A piece of a series that shows why. */
struct model_evidence {
    struct model_ref ref;
    int64_t from_step, to_step;
    const char *text;
};

/* Alerts that belong together. */
struct model_incident {
    uint64_t id;
    const char *kind, *headline;
    enum baro_level level;
    int64_t first_step, last_step;
    bool is_open;
    size_t n_alerts, n_causes, n_advice, n_evidence;
    uint64_t n_more;                    /* alerts that were not kept */
    uint64_t alerts[MODEL_MAX_MEMBERS]; /* in causal order */
    const char *causes[MODEL_MAX_SENTENCES];
    const char *advice[MODEL_MAX_SENTENCES];
    struct model_evidence evidence[MODEL_MAX_EVIDENCE];
};

/* In order of their numbers: that of their beginning. */
struct model_incidents {
    size_t n;
    struct model_incident at[];
};

struct model_series {
    struct model_ref ref;
    bool is_coarse;    /* on the wish's coarse grid */
    bool is_ready;     /* false: the history is still being asked for */
    int64_t width;     /* steps in a column */
    uint64_t n_coarse; /* readings of the range whose details were pruned */
    /* A later model's series of the same lineage has the same columns, but for its last one, which
     * may have grown, and new ones behind it. 0: nothing is known of that. */
    uint64_t lineage;
    /* Filled columns, rising: see model_column(). All but the last are shared with other series of
     * the lineage and with the keeper, which writes behind them while they are read. */
    size_t n;
    const struct wire_column *shared; /* a part */
    struct wire_column last;
};

/** A column of a series; i is below n. */
static inline const struct wire_column *model_column(
    const struct model_series *series, size_t i)
{
    return i + 1 < series->n ? &series->shared[i] : &series->last;
}

/* All units of one tensor, one statistic; rows of units. */
struct model_units {
    uint32_t thing;
    enum unit_stat stat;
    bool is_ready;
    int64_t width;
    uint64_t n_coarse; /* readings of the range whose details were pruned */
    uint32_t n_units;
    size_t n;             /* columns */
    const double *x;      /* [n] first step of the column */
    const double *x_to;   /* [n] last step of the column */
    const double *count;  /* [n] readings in the column */
    const float *lo, *hi; /* [n_units][n]; NaN where nothing is finite */
    const float *mean;    /* likewise */
    const uint8_t *flags; /* likewise; enum sheet_flag */
    const uint8_t *any;   /* [n_units] flags of all columns together */
};

/* Which chart a few units of a tensor are chosen for: SampleRequest. Zero what is not used. */
struct model_sample_wish {
    uint32_t thing; /* 0: none */
    enum unit_stat stat;
    int64_t from_step, to_step;
    uint32_t columns, height; /* of the plot in pixels */
    enum axis_kind axis;
    bool has_limits; /* lo, hi and linear_to are given */
    double lo, hi, linear_to;
    bool is_live; /* go on with new steps */
    uint32_t n_always;
    uint32_t always[MODEL_MAX_ALWAYS]; /* units to be shown whatever they do */
};

/* How many units run through each pixel of a chart. A part that samples share. */
struct model_density {
    int64_t from_step, to_step;
    struct axis y;
    uint32_t width, height;
    float most;       /* units in the densest pixel */
    uint8_t shades[]; /* column by column from the top; 0: none, 255: the densest */
};

/* A few units of a tensor that show all of them, one statistic. */
struct model_sample {
    struct model_sample_wish of; /* what it answers */
    bool is_done;                /* nothing more to refine */
    double fraction;             /* of the work */
    uint32_t n_units, n_shown;
    const uint32_t *shown;     /* [n_shown] units */
    const uint8_t *reasons;    /* [n_shown] enum sample_reason */
    const float *apart;        /* [n_shown] pixels to the nearest other line, on average */
    const uint32_t *n_members; /* [n_shown] units that each stands for, itself among them */
    const uint16_t
        *nearest;     /* [n_units] place in shown of the unit that stands for each, ... */
    bool is_assigned; /* ... valid only with this; n_shown or more: nobody does */
    struct model_units lines;   /* rows of shown units; its n_units is n_shown */
    int64_t from_step, to_step; /* as clipped to the data */
    struct axis y;              /* as used for choosing */
    float radius_px, spread_px; /* as in SampleFinding */
    uint32_t n_nonfinite, n_leaping, n_left_out;
    double jaccard;
    uint64_t n_coarse;
    const struct model_density *density; /* a part, NULL: none yet */
    char trouble[MODEL_TROUBLE_BYTES]; /* why there is none, or what is missing; else "" */
};

/* Distribution of one tensor over steps: counts by signed power of two. */
struct model_hist {
    uint32_t thing;
    bool is_ready, is_cut; /* cut: only the newest rows of the range */
    int first_exp, n_exps; /* exponents shown; the first also holds all smaller ones */
    int64_t every;         /* of each so many steps there is at most one row */
    size_t n;              /* rows */
    const int64_t *steps;  /* [n] */
    /* [n][2 * n_exps + 1] shares of all elements: negative from large to small magnitude,
     * zeros, positive from small to large. */
    const float *shares;
};

/* Which statistic of all units of which tensor. */
struct model_spread_ref {
    uint32_t thing;
    enum unit_stat stat;
};

/* How a statistic lies over the units of a tensor, over steps. A part. */
struct model_spread {
    struct model_spread_ref ref;
    bool is_ready;
    int64_t width;     /* steps in a column */
    uint64_t n_coarse; /* readings of the range whose details were pruned */
    size_t n;
    struct model_spread_column {
        int64_t first_step, last_step;
        float rows[SPREAD_COUNT];
        uint32_t n_units;     /* that have a reading */
        uint32_t n_nonfinite; /* that held a NaN or an infinity */
    } columns[];
};

/* What counts as having moved. */
enum moved_kind {
    MOVED_CHANGE,   /* UNIT_CHANGE of updates: 1 - cos of the weights before and after */
    MOVED_RELATIVE, /* norm of the update of a unit against that of its weights */
    MOVED_JUMP,     /* norm of a role against its mean over some readings before: |log2| */
    MOVED_KIND_COUNT
};

/* Steps whose most moved units are wished for, of all layers. */
struct model_moved_wish {
    enum moved_kind kind;
    enum baro_role role; /* of MOVED_JUMP */
    uint32_t n_steps;    /* 0: none */
    int64_t steps[MODEL_MAX_MOVED];
};

/* The units that moved most at some steps. A part. */
struct model_moved {
    struct model_moved_wish of;
    struct model_moved_step {
        bool is_ready;
        uint32_t n_things, n_done; /* tensors that are looked at */
        struct moved_list list;
    } at[MODEL_MAX_MOVED]; /* of.n_steps */
};

/* Recorded operations of one step, put together and checked. A part. */
struct model_probe {
    uint64_t serial; /* of the run */
    const struct probe *probe;
    void *bytes; /* that it borrows from */
};

/* The operations of the run, as they are recorded now and then. */
struct model_graph {
    bool is_ready;                   /* it has been looked for */
    const struct model_probe *probe; /* a part; the newest; NULL: there is none */
    char
        trouble[MODEL_TROUBLE_BYTES]; /* why there is none; "" when none was recorded yet */
};

/* Shares of what made the value that broke, as far as they are known. */
struct model_credit {
    enum credit_mode mode;
    struct credit_target target; /* of the failure probe */
    bool is_done;
    double fraction, total, explained, error_bound;
    size_t n_nodes, n_edges, n_units;
    struct credit_node nodes[MODEL_MAX_CREDIT_NODES];
    struct credit_edge edges[MODEL_MAX_CREDIT_EDGES];
    struct credit_source units[MODEL_MAX_CREDIT_UNITS];
};

/* The story of what went wrong in the run. */
struct model_why {
    bool has_story;    /* false: nothing is told yet, or there is nothing to tell of */
    bool is_done;      /* nothing more comes unless something happens in the run */
    char doing[64];    /* what is waited for; "" when done */
    uint64_t incident; /* that it is about; 0: none */
    struct why_story story;
    const struct model_probe *failure, *calm; /* parts; NULL: there is none */
    bool has_credit;
    struct model_credit credit;        /* of the failure's operand */
    char untold[MODEL_TROUBLE_BYTES];  /* why the credit has no shares; else "" */
    char trouble[MODEL_TROUBLE_BYTES]; /* why there are no shares, or no failure; else "" */
};

/* What two moments are compared: a run up to a step each. */
struct model_compare_wish {
    bool is_wanted;
    bool is_steps; /* both of the first run; else the second moment is of the second run */
    int64_t to[2]; /* INT64_MAX: all that there is */
    uint32_t n_units;
    uint32_t units[MODEL_MAX_COMPARED_UNITS]; /* tensors whose units are wanted */
};

/* Statistics of a tensor's whole, as values of struct model_compared have them. */
enum model_compared_stat {
    COMPARED_L2, /* of a scalar: its value */
    COMPARED_MEAN,
    COMPARED_ABS_MAX,
    COMPARED_STAT_COUNT
};

/* A series of both sides: its last readings. */
struct model_compared {
    uint32_t thing[2];
    bool is_tensor;
    bool has_units; /* as many on both sides */
    bool has[2];    /* there is a reading */
    int64_t step[2];
    double values[2][COMPARED_STAT_COUNT];
};

/* The l2 norm of each unit of a tensor on both sides. */
struct model_compared_units {
    uint32_t thing; /* of the first side */
    uint32_t n;
    int64_t step[2];        /* of those readings: units may be measured more rarely */
    const float *values[2]; /* below 0: no reading */
};

struct model_compare {
    struct model_compare_wish of; /* what it answers */
    size_t n;
    struct model_compared *at;
    size_t n_alone[2]; /* series that one side only has */
    size_t n_units;
    struct model_compared_units units[MODEL_MAX_COMPARED_UNITS];
};

struct model {
    enum model_state state;
    const char *endpoint;
    const char *trouble;   /* one sentence, or "" */
    int64_t since_wall_ns; /* when the state began */
    bool has_runs;         /* the list of runs has been heard */
    uint32_t run;          /* whose things, alerts and series these are; 0: none */
    bool has_things, has_alerts;
    const struct model_runs *runs; /* parts, never NULL */
    const struct model_things *things;
    const struct model_alerts *alerts;
    const struct model_events *events;
    const struct model_incidents *incidents;
    const struct model_notes *notes;
    size_t n_series;
    const struct model_series *const *series; /* a part of parts, sorted for model_find */
    const struct model_units *units;          /* NULL: none wished */
    const struct model_sample *sample; /* likewise; of the wished thing and statistic */
    const struct model_hist *hist;     /* likewise */
    const struct model_graph *graph;   /* likewise */
    const struct model_why *why;       /* likewise */
    size_t n_spreads;
    const struct model_spread *const *spreads; /* a part of parts, as wished; NULL: none */
    const struct model_moved *moved;           /* NULL: none wished */
    const struct model
        *other; /* of the wish's other run: its lists and series; NULL: none */
    const struct model_compare *compare; /* NULL: none wished, or nothing known yet */
    uint64_t wish;                       /* serial of the wish that it answers */
    bool is_complete;                    /* all of the wish is there */
    double pace; /* bytes a second that a slow line carries; 0: it is none */
};

/* What a page needs. Filled by views while they draw, answered by the keeper. */
struct model_wish {
    uint32_t run;
    int64_t from_step, to_step; /* visible */
    uint32_t columns;           /* of curves: width of a plot in pixels */
    uint32_t coarse_columns;    /* of heat strips and sparklines */
    uint32_t units_thing;       /* 0: none */
    enum unit_stat units_stat;
    uint32_t units_columns;
    struct model_sample_wish sample;
    uint32_t hist_thing; /* 0: none */
    bool wants_graph, wants_why;
    enum credit_mode why_mode; /* 0: of what the operand was made, CREDIT_VALUE */
    uint32_t spread_columns;
    size_t n_spreads;
    struct model_spread_ref spreads[MODEL_MAX_SPREADS];
    struct model_moved_wish moved;
    struct model_compare_wish compare;
    uint32_t other_run; /* a second run, seen beside the first; 0: none */
    int64_t other_from_step, other_to_step; /* visible of it */
    size_t n_other_refs;
    size_t n_refs;
    struct model_wish_ref {
        struct model_ref ref;
        bool is_coarse;
    } refs[MODEL_MAX_REFS];
    struct model_wish_ref other_refs[MODEL_MAX_OTHER_REFS]; /* things of the other run */
};

/** Create an empty model: connecting, no lists. It is a part: part_ref, part_unref. */
struct model *model_create(void);

/** Take over the bytes of a probe; NULL when they do not parse (they are freed then). A part. */
struct model_probe *model_probe_create(
    uint64_t serial, void *bytes, size_t n_bytes, struct baro_err *err);

/** Find a run by its number; NULL if there is none. */
const struct model_run *model_run_find(const struct model *model, uint32_t run);

/**
 * Find the run that a person means: "latest", id or its beginning, name, PROJECT/NAME.
 *
 * returns  NULL if none, or several
 */
const struct model_run *model_run_meant(const struct model *model, const char *text);

/** Say in a sentence why a text means no run, with the nearest name. Returns out. */
char *model_run_missed(
    const struct model *model, const char *text, char *out, size_t out_bytes);

/** Find a thing by its id; NULL if there is none. */
const struct model_thing *model_thing_find(const struct model *model, uint32_t thing);

/** Find a tensor by name and role; role 0: the first that has the name. NULL if none. */
const struct model_thing *model_tensor_find(
    const struct model *model, const char *name, enum baro_role role);

/** Find a tensor by name, role and rank; NULL if there is none. */
const struct model_thing *model_tensor_of_rank(
    const struct model *model, const char *name, enum baro_role role, uint32_t rank);

/** Find a series; NULL when it is not in this model. */
const struct model_series *model_find(
    const struct model *model, struct model_ref ref, bool is_coarse);

/** Order of series within a model: negative, 0, positive. */
int model_ref_compare(struct model_ref a, bool a_coarse, struct model_ref b, bool b_coarse);

/** Add a series to a wish; one just added is not repeated. false when the wish is full. */
bool model_wish_add(struct model_wish *wish, struct model_ref ref, bool is_coarse);

/** Add a series of the other run to a wish, as model_wish_add. */
bool model_wish_add_other(struct model_wish *wish, struct model_ref ref, bool is_coarse);

/**
 * Find in a model what a thing of another run is called there: same name, kind, role and rank, in
 * its last form. NULL if there is none.
 */
const struct model_thing *model_thing_like(
    const struct model *model, const struct model_thing *thing);

/** Wish for a spread, if it is not yet wished for; false when the wish is full. */
bool model_wish_spread(struct model_wish *wish, struct model_spread_ref ref);

/** Find a spread; NULL when it is not in this model. */
const struct model_spread *model_spread_find(
    const struct model *model, struct model_spread_ref ref);

/** Whether two wishes ask for the same sample. */
bool model_sample_wish_equal(
    const struct model_sample_wish *a, const struct model_sample_wish *b);

/** Tell the place of a unit among those shown; n_shown: it is not. sample may be NULL: 0. */
uint32_t model_sample_place(const struct model_sample *sample, uint32_t unit);

/** Whether two wishes ask for the same. */
bool model_wish_equal(const struct model_wish *a, const struct model_wish *b);

/**
 * The gravest level of a thing: that of its alerts; watch when it held a NaN or an infinity that
 * came from elsewhere, so that the one where it began stands out.
 */
enum baro_level model_thing_level(const struct model_thing *thing);

#endif
