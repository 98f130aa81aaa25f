/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All runs, their things and their streams, in memory: what the ingest thread knows without
 * asking the store. What changed is written with the next commit; at start it is read back.
 *
 * Everything here belongs to the ingest thread. Runs, things and streams live as long as the
 * registry, and the descriptions in them never change once set, so that workers may read the
 * descriptions of what they were handed.
 */
#ifndef BAROD_REGISTRY_H
#define BAROD_REGISTRY_H

#include <uthash.h>

#include "daemon/bundle.h"
#include "daemon/outbox.h"

struct alarm;
struct alarm_stream;
struct attention;
struct run;
struct ring_reader;

enum {
    REGISTRY_MAX_THINGS = 1 << 20,        /* of one run */
    REGISTRY_MAX_STREAM_THINGS = 1 << 17, /* ids that one stream may declare */
    REGISTRY_MAX_TEXT_BYTES = 512,
    REGISTRY_MAX_LINEAGE = 64,  /* branches of branches that are followed */
    REGISTRY_MAX_EPOCHS = 1024, /* of one name and role */
    STREAM_N_PACES = 64
};

/* One scalar or tensor of a run. */
struct thing {
    uint32_t id; /* within the run, from 1 */
    uint32_t rank;
    struct run *run;
    Baro__Declare *declare;   /* its id is the thing's */
    char *key;                /* rank, role and name; the layout tells epochs of it apart */
    uint32_t epoch;           /* from 1 */
    struct thing *next_epoch; /* of the same key, or NULL */
    uint64_t n_points;
    uint64_t n_unit_points;
    uint64_t n_nonfinite;
    uint64_t n_repeats; /* points at a step that is not after all before it */
    int64_t first_step; /* valid if n_points + n_unit_points > 0 */
    int64_t last_step;
    int64_t last_unit_step; /* valid if has_units, which a restart forgets */
    bool has_units;
    double spacing; /* steps from one point to the next, lately at most; 0: not known */
    double unit_spacing; /* likewise of unit statistics */
    double hole; /* what the last reading came after, if more than that; 0: not so */
    double unit_hole;
    double last_value;
    uint32_t worst_level;
    bool is_loss;
    bool is_dirty;
    UT_hash_handle hh;
};

/* One pushing process, identified by its ring. */
struct stream {
    uint8_t id[WIRE_STREAM_BYTES];
    uint32_t n; /* within the run, from 1 */
    struct run *run;
    Baro__Hello *hello;
    struct thing **map; /* by the stream's own thing ids */
    uint32_t map_size;
    uint64_t last_seq;      /* taken */
    uint64_t committed_seq; /* safe */
    uint64_t n_since;       /* records taken since the last bundle was handed over */
    Baro__RunStatus status;
    char *status_text; /* reason of a failure, or NULL */
    int64_t last_step;
    int64_t last_time_ns;
    int64_t created_ns; /* wall time at which its process opened the run; 0: not known */
    bool has_begun;     /* a reading with a step of its own has come */
    int64_t max_step;   /* valid if has_begun */
    char *note;         /* for its user, to go with the next acknowledgement; or NULL */
    Baro__Control **controls; /* likewise, until a heartbeat knows them: what it is asked */
    size_t n_controls;
    uint64_t last_control; /* newest that was asked */
    bool is_pause_asked;
    struct attention *attention; /* likewise: what alerts concern; or NULL */
    bool has_told_rival;         /* that another process of its rank lives, too */
    bool has_told_limit;         /* that it declared more than it may */
    uint64_t met_ns;             /* monotonic: its last Hello */
    bool is_superseded;          /* a process that began later speaks for the rank */
    uint64_t n_dropped_told;     /* by READING_DROPS records */
    uint64_t n_dropped_beat;     /* by heartbeats */
    uint64_t heard_ns;           /* monotonic: last message */
    uint64_t moved_ns;           /* monotonic: last time the step changed */
    int64_t moved_step;          /* the step then */
    float paces[STREAM_N_PACES]; /* the last step times in seconds, a ring */
    uint32_t n_paces;
    struct peer peer; /* where acknowledgements go; n_bytes 0: nowhere */
    bool is_held;     /* a batch was not taken: only one that joins on is, or a new Hello */
    bool is_dirty;
    struct alarm_stream *alarm; /* its judge, in the run's alarm; NULL until needed */
    bool is_past;       /* its judge, when it is made, must see stored readings first */
    bool is_paused;     /* what its judge knew was judged, whatever might still come */
    uint64_t judged_ns; /* monotonic: its judge's last reading */
    bool has_bad;       /* a value was not finite, */
    int64_t bad_step;   /* at this step last */
    struct ring_reader *reader; /* while the ring of a dead process is read */
    bool is_ring_done;          /* the ring needs no reading any more */
    bool is_recovered;          /* its last Hello came from somebody who reads its ring */
    uint8_t *live;              /* records for subscribers since the last flush */
    size_t live_bytes;
    size_t live_size;
    uint64_t n_live_records;
    uint64_t n_live_left_out; /* records beyond what is gathered, since the last flush */
    UT_hash_handle hh;
};

/* One training job. */
struct run {
    uint32_t number; /* from 1 */
    Baro__RunDescription
        *description; /* its run_id changes once, when a branch takes it over */
    Baro__RunStatus status;
    struct run *parent;  /* what it branched from, a smaller number; or NULL */
    int64_t branch_step; /* with a parent: its own steps begin here */
    bool is_branch_open; /* with a parent: no reading of its own has come yet */
    bool is_pruned;      /* of its oldest readings only summaries are left */
    bool is_overwritten; /* its last branch took its place */
    uint32_t n_branches;
    uint32_t n_damaged; /* groups of it that could not be read in full since the start */
    int64_t first_step; /* valid if has_steps */
    int64_t last_step;
    bool has_steps;
    int64_t first_time_ns;
    int64_t last_time_ns;
    struct thing *loss; /* the thing whose last value is the run's loss, or NULL */
    uint64_t n_records; /* taken */
    uint64_t n_committed;
    struct thing *things_by_key;
    struct thing **things; /* things[i] has the id i + 1 */
    uint32_t n_things;
    uint32_t things_size;
    struct stream **streams; /* streams[i] has n = i + 1 */
    uint32_t n_streams;
    Baro__Alert **alerts; /* in order of their ids; alerts[i] has the id i + 1 */
    uint32_t n_alerts;
    Baro__Incident **incidents; /* by rising id */
    uint32_t n_incidents;
    Baro__Note **notes; /* people's, removed ones, too; notes[i] has the id i + 1 */
    uint32_t n_notes;
    struct alarm *alarm; /* judges the readings; NULL while there are none */
    uint64_t n_withheld_told;
    uint32_t worst_level;
    uint32_t n_subscribers; /* live subscribers to this run's records */
    uint32_t n_told_things; /* things that the subscribers know of */
    bool is_live_dirty;     /* subscribers have not heard of the latest change */
    uint64_t live_told_ns;
    bool is_dirty;
    UT_hash_handle hh; /* by run_id */
};

struct registry {
    struct run *runs_by_id;
    struct run **runs; /* by rising number; those of removed runs are missing */
    uint32_t n_runs;
    uint32_t last_number; /* largest that a run ever had: none is given twice */
    struct run **removed; /* in no list any more, but pointers to them stay good */
    uint32_t n_removed;
    struct stream *streams_by_id;
    struct thing **dirty_things;
    size_t n_dirty_things;
    size_t dirty_size;
    bool is_loading;
};

/** Read all runs, things, streams and alerts of the store; the registry is zeroed before. */
int registry_load(struct registry *registry, struct store *store, struct baro_err *err);

/** Release everything. */
void registry_finish(struct registry *registry);

/** Find a run by its number; NULL when there is none. */
struct run *registry_run(const struct registry *registry, uint32_t number);

/** Find a thing of a run by its id; NULL when there is none. */
struct thing *registry_thing(const struct run *run, uint32_t id);

/** Find a stream by its 16 bytes; NULL when there is none. */
struct stream *registry_stream(const struct registry *registry, const uint8_t *id);

/**
 * Find the run of a description or add it.
 *
 * description  taken over; its run_id is not empty
 */
struct run *registry_add_run(struct registry *registry, Baro__RunDescription *description);

/**
 * Forget a run: nothing finds it, its streams or its things any more, and nothing of it is saved
 * again. Its memory, and its number, stay taken until registry_finish, so that what still points
 * to it (a bundle under way, a worker, a subscriber) stays good.
 */
void registry_remove_run(struct registry *registry, struct run *run);

/**
 * Make a branch of a run: a run of its own, which inherits what its parent has before a step.
 * The things of the parent become things of it, too.
 *
 * description  taken over; a run_id that is taken must be the parent's: then the branch gets it,
 *              and the parent is called "ID~1", or the first such name that is free. Otherwise the
 *              branch itself gets such a name
 * returns  the branch, with is_branch_open
 */
struct run *registry_add_branch(struct registry *registry, struct run *parent,
    Baro__RunDescription *description, int64_t branch_step);

/**
 * Fix where a branch begins, at its first reading: it inherits the parent's alerts before that.
 *
 * bundle   takes the copies of the alerts
 */
void registry_close_branch(
    struct registry *registry, struct run *run, int64_t branch_step, struct bundle *bundle);

/** Give the oldest run that a run descends from, itself when it is no branch. */
struct run *registry_root(struct run *run);

/** Declare a thing of a run in a branch of it, where it has readings by inheritance. */
void registry_hand_down(
    struct registry *registry, struct run *branch, const struct thing *thing);

/**
 * Let the branches of a run that is forgotten descend from its parent, if it has one; the parent
 * gets back the id that the run took over from it.
 */
void registry_disown_branches(struct registry *registry, const struct run *run);

/** Find the epoch of a thing's name and role in another run; NULL when it is not there. */
struct thing *registry_find_like(const struct run *run, const struct thing *thing);

/** Give the epoch before a thing's, NULL for the first. */
const struct thing *registry_epoch_before(const struct thing *thing);

/* What a thing has of the runs that its run branched from. */
struct inheritance {
    uint64_t n_points;  /* estimated where the branch begins among them */
    int64_t first_step; /* valid if n_points > 0 */
    int64_t last_step;  /* at most */
    bool is_estimate;   /* n_points is */
};

/** Sum up what a thing inherits. */
struct inheritance registry_inherited(const struct thing *thing);

/**
 * Tell which steps a run has, what it inherits included.
 *
 * returns  false when it has none; then the outputs are untouched
 */
bool registry_steps(const struct run *run, int64_t *out_first, int64_t *out_last);

/* Where a part of a thing's history lies. */
struct lineage_part {
    uint32_t run;
    uint32_t thing;
    int64_t to_step; /* the last step of this part; INT64_MAX: to its end */
};

/**
 * Tell where a thing's history lies, oldest part first: what it inherited from the runs that its
 * run branched from, up to the step of the branch, then its own.
 *
 * thing    NULL: the run itself (thing 0)
 * out      REGISTRY_MAX_LINEAGE
 * returns  the number of parts, at least 1
 */
size_t registry_lineage(const struct registry *registry, const struct run *run,
    const struct thing *thing, struct lineage_part *out);

/**
 * Add a stream to a run.
 *
 * hello    taken over; its stream has WIRE_STREAM_BYTES and is not known yet
 */
struct stream *registry_add_stream(
    struct registry *registry, struct run *run, Baro__Hello *hello);

/**
 * Find the thing of a run that a declaration names, or add it.
 *
 * declare  taken over; already checked
 * returns  NULL when the run has too many things
 */
struct thing *registry_add_thing(
    struct registry *registry, struct run *run, uint32_t rank, Baro__Declare *declare);

/** Keep a new alert; sets its id. alert: taken over, from protobuf-c's allocator. */
void registry_add_alert(struct registry *registry, struct run *run, Baro__Alert *alert);

/**
 * Keep an incident; one with the same number gives way to it.
 *
 * incident  taken over, from protobuf-c's allocator
 */
void registry_put_incident(
    struct registry *registry, struct run *run, Baro__Incident *incident);

/** Note that a thing changed: it is written with the next commit. */
void registry_touch_thing(struct registry *registry, struct thing *thing);

/** Note that a stream changed, and with it its run. */
void registry_touch_stream(struct stream *stream);

/** Note that a run changed. */
void registry_touch_run(struct run *run);

/** Write all that changed into a bundle, with the acknowledgements that become due. */
void registry_save(struct registry *registry, struct bundle *bundle);

/** Write an alert (again) into a bundle. */
void registry_save_alert(
    struct bundle *bundle, const struct run *run, const Baro__Alert *alert);

/** Write an incident (again) into a bundle. */
void registry_save_incident(struct bundle *bundle, const Baro__Incident *incident);

/**
 * Describe a run for a reply; strings are borrowed from the run.
 *
 * out      overwritten
 */
void registry_describe_run(const struct run *run, Baro__RunInfo *out);

/** Describe a thing for a reply; strings are borrowed. bytes stays 0. */
void registry_describe_thing(const struct thing *thing, Baro__ThingInfo *out);

#endif
