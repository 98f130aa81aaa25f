/* SPDX-License-Identifier: Apache-2.0 */
/* A sample's task from inside: shared by sample.c, sample_live.c, sample_tell.c, sample_ask.c. */
#ifndef BAROD_SAMPLE_INSIDE_H
#define BAROD_SAMPLE_INSIDE_H

#include "daemon/sample.h"
#include "daemon/sample_read.h"
#include "daemon/sample_rows.h"
#include "lib/analysis/density.h"
#include "lib/analysis/sample.h"
#include "lib/analysis/sample_lines.h"

enum {
    SAMPLE_SLICE_UNITS = 512,      /* read in one step */
    SAMPLE_MAX_DENSITY_SIDE = 1024 /* px */
};

/* A request, checked. */
struct sample_ask {
    int64_t from_step, to_step;
    uint32_t n_columns; /* of the plot, px */
    uint32_t height;
    enum axis_kind kind;
    bool has_limits;
    struct axis limits; /* has_limits */
    size_t target;
    uint64_t seed;
    bool is_live;
    bool is_packed;
    uint32_t *keep, *always; /* units of the tensor */
    size_t n_keep, n_always;
};

/* What is told, or to be told. */
struct sample_picture {
    bool is_done;
    double fraction;
    size_t n_shown;
    uint32_t *shown; /* units */
    uint8_t *reasons;
    uint32_t *members;
    uint16_t *nearest; /* n_units; NULL: not assigned yet */
    float radius_px, spread_px;
    size_t n_nonfinite, n_leaping, n_left_out;
    struct axis axis;
    int64_t from_step, to_step;
    struct sample_table table; /* the lines shown */
};

/* Lines by pixel, as told. */
struct sample_shades {
    uint8_t *bytes; /* width x height, column by column; NULL: none yet */
    uint32_t width, height;
    float most;
    int64_t from_step, to_step;
    bool is_told;
};

enum sample_job_phase {
    PHASE_OPEN,   /* see what there is */
    PHASE_GLANCE, /* read a little from everywhere, for a picture at once; or ... */
    PHASE_FIRST,  /* ... some units */
    PHASE_ROWS,   /* read all there is, to keep it, ... */
    PHASE_READ,   /* ... and the key columns of all units */
    PHASE_CHOOSE, /* the sampler is at work */
    PHASE_SHADE,  /* density */
    PHASE_TELL,   /* read the lines shown, then tell */
    PHASE_IDLE,   /* live: wait for new readings; else: for the last finding to be taken */
    PHASE_NEWS,   /* live: read the new rows, ... */
    PHASE_MORE,   /* ... their columns, ... */
    PHASE_APPEND  /* ... and hand those to the sampler */
};

struct sample_job {
    struct task task;
    struct sample_ask ask;
    struct sample_source source;
    enum sample_job_phase phase;
    enum sample_job_phase behind_tell;
    bool is_again;      /* a picture was whole before: its lines stay while they earn it */
    bool is_shade_only; /* reading is for the density alone */
    bool is_anew;       /* readings came late: those of shown lines are read again, too */

    struct sample_extent extent; /* what the picture is of */
    struct sample_tally tally;
    struct sample_rows rows;
    struct sample_glance glance;
    bool wants_first;          /* a first picture is made as soon as rows are there */
    size_t n_rows_seen;        /* of rows: those that extent is of */
    size_t rows_from;          /* those before are not for the lines being read */
    struct sample_lines lines; /* being read, or chosen from */
    struct column_cut cut;     /* of lines */
    int64_t *edges;
    struct column *slice; /* SAMPLE_SLICE_UNITS x cut.n_columns */
    size_t at;            /* unit or column, within the phase */
    struct axis axis;
    struct sampler *sampler;
    struct density density;
    struct sample_shades shades;
    struct sample_table first; /* PHASE_FIRST */

    /* Live. */
    struct sample_extent news; /* what the picture is going to be of */
    bool is_stale;             /* readings came that cannot be appended: read all again */
    bool has_news;             /* something was committed that it has not looked at */
    bool is_turning;           /* lines are still to be exchanged, some in each finding */
    bool is_awake;             /* since the last pause */
    uint64_t cycle_cpu_ns;     /* task.cpu_ns then, and what choosing anew took since */
    bool is_choosing;          /* anew */
    uint64_t choice_cpu_ns;    /* task.cpu_ns when that began */
    uint64_t next_choice_ns;   /* not before, unless it cannot wait */
    uint64_t pause_until_ns;
    bool is_refresh; /* everything was read again since the last pause */
    uint64_t next_refresh_ns;

    struct sample_picture next, told;
    uint64_t tell_cpu_ns;  /* task.cpu_ns when it began to gather next */
    uint64_t next_tell_ns; /* no finding before, but the last */
    uint64_t serial;
};

/* ---- sample_ask.c ---- */

/** Check what needs no store, and take it over; 0 or a code with its sentence. */
int sample_ask_take(struct sample_ask *ask, struct sample_source *source,
    const struct thing *thing, uint32_t run, const Baro__SampleRequest *request,
    struct baro_err *err);

/** Tell how many bytes a job takes at most. */
size_t sample_ask_bytes(const struct sample_ask *ask, size_t n_units);

/** Tell how many columns so many shown lines are told with. */
uint32_t sample_ask_columns(const struct sample_ask *ask, size_t n_shown);

/** Fit an axis to what lines there are, see sample_axis.c; false when it cannot show any. */
bool sample_axis_fit(struct sample_job *job, const struct sample_lines *lines);

/** Tell whether readings lie beyond the axis. */
bool sample_axis_is_left(const struct sample_job *job, const struct sample_lines *lines);

/* ---- sample.c ---- */

/** Cut the steps of extent into key columns and begin to read all units in phase. */
void sample_begin_read(struct sample_job *job, enum sample_job_phase phase,
    int64_t from_step, int64_t to_step, size_t n_columns);

/** Read a slice of units into lines; returns 1 when there is more, 0 when all are read, a code. */
int sample_read_slice(
    struct sample_job *job, const struct task_call *call, struct baro_err *err);

/** Release what reading took. */
void sample_end_read(struct sample_job *job);

/** Begin to tell what the sampler has by now; then the job goes on in a phase. */
void sample_begin_tell(struct sample_job *job, bool is_done, enum sample_job_phase behind);

/** Begin the density; by: px of the plot that one of its own is wide and high. */
void sample_begin_shade(struct sample_job *job, uint32_t by);

/** Add the lines up to before end to the density. */
void sample_shade_some(
    struct sample_job *job, const struct sample_lines *lines, size_t end);

/* ---- sample_first.c ---- */

enum { SAMPLE_FIRST_KEEP = 24 }; /* units to keep, from which on it is made of those */

/** Begin PHASE_FIRST. */
void sample_begin_first(struct sample_job *job);

/** PHASE_FIRST. */
enum task_state sample_first(
    struct sample_job *job, const struct task_call *call, struct baro_err *err);

/** PHASE_GLANCE. */
enum task_state sample_glance(
    struct sample_job *job, const struct task_call *call, struct baro_err *err);

/* ---- sample_live.c ---- */

/** PHASE_IDLE: look for new readings; begins to take them. */
enum task_state sample_idle(
    struct sample_job *job, const struct task_call *call, struct baro_err *err);

/** PHASE_NEWS, PHASE_MORE and PHASE_APPEND. */
enum task_state sample_more(
    struct sample_job *job, const struct task_call *call, struct baro_err *err);

/* ---- sample_tell.c ---- */

/**
 * Make a picture of a sample.
 *
 * map  the unit of each line; NULL: lines are units
 */
void sample_picture_make(struct sample_picture *picture, const struct sample_job *job,
    const struct sample *sample, const uint32_t *map);

/** Release a picture; accepts a zeroed one. */
void sample_picture_finish(struct sample_picture *picture);

/** Tell the next picture, which is whole, and make it the one that was told. */
void sample_tell_next(struct sample_job *job, bool is_last);

/** Tell that there are no readings. */
void sample_tell_nothing(struct sample_job *job, bool is_last);

/** Make shades of a density; it is released. */
void sample_shades_make(struct sample_shades *shades, struct density *density,
    int64_t from_step, int64_t to_step);

#endif
