/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the pieces of `baro export` share: what goes into the file (export_plan.c), and how it is
 * written (export_text.c: CSV and JSON lines; export_npz.c).
 */
#ifndef BARO_TOOLS_EXPORT_H
#define BARO_TOOLS_EXPORT_H

#include <signal.h>

#include "tools/damage.h"
#include "tools/json.h"
#include "tools/out_file.h"
#include "tools/progress.h"
#include "tools/rows.h"
#include "tools/runs.h"
#include "tools/series.h"

enum export_format { EXPORT_CSV = 0, EXPORT_JSONL, EXPORT_NPZ, EXPORT_FORMAT_COUNT };

/* Kinds of readings that --kind chooses among. */
enum export_kind {
    EXPORT_SCALARS = 0,
    EXPORT_STEPS,
    EXPORT_SUMMARIES,
    EXPORT_UNITS,
    EXPORT_HISTOGRAMS,
    EXPORT_BATCHES,
    EXPORT_RESULTS, /* of single samples */
    EXPORT_EVENTS,
    EXPORT_ALERTS,
    EXPORT_NOTES,
    EXPORT_KIND_COUNT
};

/* One group of readings that goes into the file. */
struct export_item {
    const Baro__ThingInfo *thing; /* NULL: of the run itself */
    enum reading_kind kind;
    uint32_t stats;      /* bit k: statistic k; READING_SUMMARY and READING_UNITS */
    bool with_histogram; /* READING_SUMMARY */
    uint32_t first_stat; /* what rows begin with */
    uint32_t n_stats;    /* statistics that are read, those between included */
    uint64_t n_rows;     /* about */
};

/* What goes into the file. Release with export_plan_finish. */
struct export_plan {
    uint32_t kinds;      /* bit k: enum export_kind */
    bool is_kinds_given; /* by --kind */
    const char *glob;    /* NULL: all */
    int64_t from;
    int64_t to;
    struct export_item *items;
    size_t n_items;
    uint64_t n_values;       /* in all items, about: for the progress bar */
    uint64_t n_pruned;       /* readings of which only summaries are left */
    uint64_t n_unit_points;  /* readings of unit statistics that were not chosen */
    bool has_histograms_out; /* tensors have histograms, and they were not chosen */
};

/**
 * Read a list of kinds as in "scalars,units"; "all" is all of them.
 *
 * format   files of numbers take no histograms, batches, results, events, alerts and notes
 * text     NULL: the usual ones of the format
 * returns  CLI_OK; CLI_USAGE after saying what is wrong
 */
int export_kinds_parse(const char *text, enum export_format format, uint32_t *out_kinds);

/** Name a kind as --kind does. */
const char *export_kind_name(enum export_kind kind);

/**
 * Choose what goes into the file; plan has its first fields set, things is borrowed by the items.
 *
 * returns  CLI_OK; CLI_FAILED after saying that nothing fits, and what there is
 */
int export_plan_make(
    struct export_plan *plan, const struct thing_list *things, const Baro__RunInfo *run);

/** Release. */
void export_plan_finish(struct export_plan *plan);

/** Tell how many values a row of an item has: what progress counts. */
uint64_t export_item_values(const struct export_item *item);

/* A form of file. */
struct export_sink;

/** Begin a file of CSV or JSON lines; never NULL. out: borrowed. */
struct export_sink *export_text_create(struct out_file *out, enum export_format format);

/** Begin a .npz; NULL when it cannot keep files beside out, which tells. out: borrowed. */
struct export_sink *export_npz_create(struct out_file *out);

/* How one is written. Failures are noted in the out_file. */
struct export_sink {
    /* The run and what the file holds; a JSON object as text. */
    void (*header)(struct export_sink *sink, const char *object);
    /* Rows of an item follow ... */
    void (*begin_item)(struct export_sink *sink, const struct export_item *item);
    void (*row)(
        struct export_sink *sink, const struct export_item *item, const struct row *row);
    void (*end_item)(struct export_sink *sink, const struct export_item *item);
    /* ... or JSON objects of a list: "events", "alerts", "notes". */
    void (*begin_list)(struct export_sink *sink, const char *name);
    void (*object)(struct export_sink *sink, const char *object);
    void (*end_list)(struct export_sink *sink);
    /* Ends the file, unless it is given up, and releases. */
    void (*finish)(struct export_sink *sink, bool is_given_up);
};

enum { EXPORT_MAX_NOTES = 8, EXPORT_NOTE_BYTES = 320 };

/* One call of it. */
struct exporting {
    struct cli *cli;
    const struct run_list *runs;
    const Baro__RunInfo *run;
    enum export_format format;
    struct export_plan plan;
    struct out_file out;
    struct export_sink *sink;
    struct progress progress;
    const struct export_item *item; /* at hand */
    uint64_t n_done;                /* values, for the progress bar */
    uint64_t n_told;
    uint64_t n_readings; /* rows and objects */
    uint64_t n_series;   /* with a reading in range */
    uint64_t n_pruned;
    bool is_exact;
    char notes[EXPORT_MAX_NOTES]
              [EXPORT_NOTE_BYTES]; /* what a reader of the file must know */
    size_t n_notes;
    const volatile sig_atomic_t *stop_signal; /* not 0: end at once */
    struct damage damage;                     /* what could not be read, in words */
};

/** Tell whether a kind goes into the file. */
static inline bool export_has(const struct export_plan *plan, enum export_kind kind)
{
    return (plan->kinds & 1U << kind) != 0;
}

/**
 * Read all that was planned and write it; export_read.c.
 *
 * returns  CLI_OK; CLI_FAILED when stopped, when out has failed, or after saying why
 */
int export_write(struct exporting *export);

#endif
